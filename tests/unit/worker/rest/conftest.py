"""A front on the toy bundle, with its rating thread, asked in process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from tests.conftest import TOY_REGISTRY
from tests.doubles import MemoryLog
from worker.clock import SystemClock
from worker.ops.health import Health
from worker.ops.metrics import Metrics
from worker.rest.app import make_app
from worker.rest.front import Front
from worker.rest.server import start_front
from worker.settings import WorkerSettings
from worker.wiring import Process

FrontFactory = Callable[..., Front]


@pytest.fixture
def make_front(clean_environment: pytest.MonkeyPatch) -> FrontFactory:
    """Make a front whose rating thread does not run."""
    del clean_environment

    def make(**values: Any) -> Front:
        settings = WorkerSettings(**{"registry": str(TOY_REGISTRY), "reload_interval_s": 0, **values})
        clock = SystemClock()
        health = Health(clock, stall_s=60, parts=("model",))
        process = Process(settings, clock, MemoryLog(), Metrics(CollectorRegistry()), health)
        return start_front(process, threading.Event())

    return make


@pytest.fixture
def rating_client(make_front: FrontFactory) -> Iterator[Callable[..., TestClient]]:
    """Make clients of fronts that rate."""
    started: list[tuple[Front, threading.Thread]] = []

    def make(**values: Any) -> TestClient:
        front = make_front(**values)
        thread = threading.Thread(target=front.rater.run)
        thread.start()
        started.append((front, thread))
        return TestClient(make_app(front), "http://localhost", raise_server_exceptions=False)

    yield make
    for front, thread in started:
        front.rater.stop()
        thread.join()
