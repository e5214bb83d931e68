"""Figures, baselines, and the gate a new version must pass."""
