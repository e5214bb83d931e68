"""What every level of tests shares: small parts, and real services that start once a session.

A missing Java, Maven or redis-server skips a test here and fails it where `CI` is set: a suite that skips its real
parts in CI proves nothing there.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from prometheus_client import CollectorRegistry

from deploy.kafka import LocalKafka
from deploy.process import LocalService, ServiceUnavailable
from deploy.redis import LocalRedis
from tests import KAFKA_WARNING
from tests.doubles import ManualClock, MemoryLog
from tests.fixtures.markers import BROKER
from tests.fixtures.schedule import Together, longest_first, one_process_first
from tests.fixtures.shared_kafka import SharedKafka, shared_kafka
from worker.ops.metrics import Metrics

ROOT = Path(__file__).parents[1]
TOY_REGISTRY = Path(__file__).parent / "fixtures" / "toy_bundle"
# `.ci/run` names those that a change concerns, `.ci/nightly` all.
ONLY_BY_NAME = {"images", "browser", "spark", "manifests"}
Service = TypeVar("Service", bound=LocalService)
TOY_VERSION = "20260101T000000Z-70700000"

# Examples are not timed: the machine is shared, and a slow moment is no counterexample.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("filterwarnings", f"ignore:{KAFKA_WARNING}:DeprecationWarning")
    # The client leaves a socket whose connection was refused to the garbage collector; a broker that was killed on
    # purpose makes many. It never had an address, which tells it from one of ours.
    refused = "Exception ignored in. <socket.socket .*laddr=..0.0.0.0"
    config.addinivalue_line("filterwarnings", f"ignore:{refused}:pytest.PytestUnraisableExceptionWarning")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Collect the folders of what is slow and seldom changes only where the command line names them."""
    if collection_path.parent != Path(__file__).parent or collection_path.name not in ONLY_BY_NAME:
        return None
    return None if any(collection_path.name in argument for argument in config.invocation_params.args) else True


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    with one_process_first(ROOT / "pyproject.toml"):
        return (yield)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "tensorflow" in sys.modules:  # every process collects every file, and few run the trainer's tests
        raise pytest.UsageError("a test file imports TensorFlow when it is collected; import it inside the tests")
    longest_first(items)


def pytest_collection_finish() -> None:
    """Leave what was imported out of the searches for garbage."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together | None:
    return Together(config, log) if config.getoption("dist") == "loadfile" else None


def missing(reason: str) -> NoReturn:
    """Skip the test for want of a service or data; fail it in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def serving(service: Service) -> Iterator[Service]:
    """Start a service and stop it at the end; without its programs the test is skipped, or fails in CI."""
    try:
        service.start()
    except ServiceUnavailable as unavailable:
        missing(str(unavailable))
    with service:
        yield service


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No `WORKER_*` variable and no `.env`, whatever the machine has."""
    for name in [name for name in os.environ if name.startswith("WORKER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedKafka]:
    """One broker for all processes of the run; tests keep apart by the names of their topics and groups."""
    base = tmp_path_factory.getbasetemp()
    run = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    try:
        with shared_kafka(run / "kafka") as broker:
            yield broker
    except ServiceUnavailable as unavailable:
        missing(str(unavailable))


@pytest.fixture(scope="session")
def restarted_kafka() -> Iterator[LocalKafka]:
    """A broker of this process alone; use it through `stoppable_kafka`."""
    with serving(LocalKafka(extra_properties=BROKER)) as broker:
        yield broker


@pytest.fixture
def stoppable_kafka(restarted_kafka: LocalKafka) -> Iterator[LocalKafka]:
    """A broker that this test may stop; it runs again afterwards."""
    yield restarted_kafka
    restarted_kafka.start()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[LocalRedis]:
    """One Redis for the session; tests keep apart by their prefix."""
    with serving(LocalRedis(appendonly=True)) as server:
        yield server


@pytest.fixture
def own_redis() -> Iterator[LocalRedis]:
    """A Redis of one test, which may stop, fill or lock it; its data survives."""
    with serving(LocalRedis(appendonly=True)) as server:
        yield server
