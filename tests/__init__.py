"""Tests by level: unit (pure), contract (double and real thing), integration (real processes), structure (the code)."""
