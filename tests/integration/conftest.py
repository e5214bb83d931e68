"""Deployments on the session's services."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.kafka import LocalKafka
from deploy.redis import LocalRedis
from tests.fixtures.running import Deployment


@pytest.fixture
def deployment(kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path) -> Iterator[Deployment]:
    """Topics, group and prefix of this test alone."""
    with Deployment(kafka, redis_server.url, tmp_path) as made:
        yield made
