"""Which Kafka client a worker uses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.doubles import ManualClock, MemoryLog
from worker.errors import SettingsError
from worker.kafka import clients
from worker.kafka.clients import make_source
from worker.ops.metrics import Metrics
from worker.settings import WorkerSettings


def settings(**more: Any) -> WorkerSettings:
    return WorkerSettings(_env_file=None, kafka_client="confluent", **more)


def test_a_client_that_is_not_installed_is_refused_with_its_package(
    monkeypatch: pytest.MonkeyPatch, metrics: Metrics, clock: ManualClock
) -> None:
    monkeypatch.setattr(clients, "find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match=r"WORKER_KAFKA_CLIENT=confluent: .*install the extra `confluent`"):
        make_source(settings(), instance_id=None, metrics=metrics, clock=clock)
    with pytest.raises(SettingsError, match="WORKER_KAFKA_CLIENT"):
        clients.make_delivery(settings(), None, "id", log=MemoryLog(), clock=clock)  # type: ignore[arg-type]  # not used
