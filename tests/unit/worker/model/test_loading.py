"""Which version serves where the registry has none yet: the starter, for those who allow it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from deploy.process import wait_until
from schemas.starter import starter_bundle, starter_version
from tests import PATIENCE_S
from tests.conftest import TOY_VERSION
from tests.doubles import ManualClock, MemoryLog
from tests.fixtures.bundles import SECOND, ToyRegistry
from worker.errors import RegistryError
from worker.model.loading import serving_version, with_starter
from worker.model.registry import fetch_bundle, read_report
from worker.ops.health import Health
from worker.ops.metrics import Metrics
from worker.settings import WorkerSettings
from worker.wiring import Process, start_models


def settings(folder: Path, **given: object) -> WorkerSettings:
    return WorkerSettings(_env_file=None, registry=str(folder), runtime="litert").model_copy(update=given)


def test_run_asks_for_it_and_predict_and_serve_need_not(tmp_path: Path) -> None:
    empty = settings(tmp_path / "models")
    with pytest.raises(RegistryError, match=r"no bundle there .*starstream-trainer starter --registry"):
        serving_version(empty)
    assert serving_version(settings(tmp_path / "models", starter="on")) == starter_version()
    assert serving_version(with_starter(empty)) == starter_version()
    with pytest.raises(RegistryError, match="no bundle there"):
        serving_version(with_starter(settings(tmp_path / "models", starter="off")))


def test_a_registry_with_channels_is_not_empty(tmp_path: Path) -> None:
    registry = ToyRegistry(tmp_path / "models")
    assert serving_version(settings(registry.root, starter="on")) == TOY_VERSION
    with pytest.raises(RegistryError, match="WORKER_CHANNEL=canary"):
        serving_version(settings(registry.root, starter="on", channel="canary"))


def test_another_channel_of_an_empty_registry_is_not_the_starter(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="WORKER_CHANNEL=candidate"):
        serving_version(settings(tmp_path / "models", starter="on", channel="candidate"))


def test_its_version_is_read_from_the_package(tmp_path: Path) -> None:
    assert fetch_bundle(str(tmp_path / "models"), starter_version()) == starter_bundle()
    assert (read_report(str(tmp_path / "models"), starter_version()) or "").startswith("<!")


def test_it_serves_until_the_registry_has_a_version_and_never_comes_back(
    tmp_path: Path, clock: ManualClock, log: MemoryLog, metrics: Metrics
) -> None:
    given = settings(tmp_path / "models", starter="on", reload_interval_s=0.02)
    process = Process(given, clock, log, metrics, Health(clock, stall_s=120, parts=("model",)))
    stop = threading.Event()
    try:
        classifier = start_models(process, stop)
        assert classifier.version == starter_version()
        assert "starter_serving" in log.names
        registry = ToyRegistry(tmp_path / "models")
        registry.publish(SECOND)
        registry.point("stable", SECOND)
        wait_until(lambda: "model_loaded" in log.names, PATIENCE_S, "the registry's version is loaded")
        (tmp_path / "models" / "channels.json").unlink()
        wait_until(lambda: "registry" in process.health.notes, PATIENCE_S, "the registry is empty again")
        assert "no bundle there" in process.health.notes["registry"]
    finally:
        stop.set()
