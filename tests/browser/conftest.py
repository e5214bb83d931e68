"""Deployments on the session's services."""

from __future__ import annotations

from tests.fixtures.running import deployment

__all__ = ["deployment"]
