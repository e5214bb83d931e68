"""The reloader: the version a channel names is offered, or refused with its reason while the old one keeps serving."""

from __future__ import annotations

import gc
import json
import logging
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.conftest import TOY_VERSION
from tests.doubles import ManualClock, MemoryLog
from tests.fixtures.bundles import FOURTH, SECOND, THIRD, Change, ToyRegistry
from worker.errors import RegistryError
from worker.model.classifier import TfliteClassifier
from worker.model.loading import load_version
from worker.model.registry import read_channels
from worker.model.reload import Registry, Reloader, Watch
from worker.ops.health import Health
from worker.ops.metrics import Metrics
from worker.settings import WorkerSettings

RETRY_S = 300.0


class Bench:
    """A reloader on a registry of its own, whose checks a test calls."""

    def __init__(self, folder: Path, clock: ManualClock, log: MemoryLog, metrics: Metrics) -> None:
        self.registry = ToyRegistry(folder / "models")
        self.clock, self.log, self.metrics = clock, log, metrics
        self.settings = WorkerSettings(_env_file=None, registry=str(self.registry.root), runtime="litert")
        self.health = Health(clock, stall_s=120, parts=())
        self.loads: list[str] = []
        self.failures: list[Exception] = []  # each fails one call of the registry
        self.watch("stable", "candidate")

    def watch(self, channel: str | None, shadow_channel: str | None) -> None:
        self.reloader = Reloader(
            load_version(self.settings, TOY_VERSION, self.metrics, self.clock),
            Watch(channel, shadow_channel, 5.0, RETRY_S),
            Registry(self.channels, self.load),
            clock=self.clock,
            metrics=self.metrics,
            health=self.health,
            log=self.log,
        )

    def publish(self, *versions: str) -> None:
        for version in versions:
            self.registry.publish(version)

    def move(self, channel: str, version: str) -> None:
        """Point a channel at a version, and let the reloader look."""
        self.registry.point(channel, version)
        self.reloader.check()

    def channels(self) -> Mapping[str, str]:
        if self.failures and isinstance(self.failures[0], KeyError):
            raise self.failures.pop()
        return read_channels(self.settings.registry)

    def load(self, version: str) -> TfliteClassifier:
        if self.failures:
            raise self.failures.pop()
        self.loads.append(version)
        return load_version(self.settings, version, self.metrics, self.clock)

    @property
    def offered(self) -> list[str | None]:
        lineup = self.reloader.lineup
        return [lineup.stable.version, lineup.candidate.version if lineup.candidate else None]

    def count(self, outcome: str, role: str = "stable") -> float | None:
        value = self.metrics.registry.get_sample_value
        return value("starstream_model_reloads_total", {"role": role, "outcome": outcome})


@pytest.fixture
def bench(tmp_path: Path, clock: ManualClock, log: MemoryLog, metrics: Metrics) -> Bench:
    return Bench(tmp_path, clock, log, metrics)


def test_nothing_is_offered_while_the_channel_does_not_move(bench: Bench) -> None:
    before = bench.reloader.lineup
    bench.reloader.check()
    assert bench.reloader.lineup is before
    assert (bench.loads, bench.log.names) == ([], [])


def test_a_version_the_channel_moves_to_is_offered(bench: Bench) -> None:
    bench.publish(SECOND)
    bench.reloader.check()
    assert bench.offered == [TOY_VERSION, None]
    bench.move("stable", SECOND)
    assert bench.offered == [SECOND, None]
    assert bench.health.notes == {}


def test_the_previous_version_returns_from_memory(bench: Bench) -> None:
    first = bench.reloader.lineup.stable
    bench.publish(SECOND)
    bench.move("stable", SECOND)
    bench.move("stable", TOY_VERSION)
    assert bench.reloader.lineup.stable is first
    assert bench.loads == [SECOND]


def test_no_more_than_three_versions_are_in_memory(bench: Bench) -> None:
    first = weakref.ref(bench.reloader.lineup.stable)
    bench.publish(SECOND, THIRD, FOURTH)
    bench.move("candidate", SECOND)
    bench.move("stable", THIRD)
    bench.move("stable", FOURTH)
    assert bench.offered == [FOURTH, SECOND]
    gc.collect()
    assert first() is None
    bench.move("stable", THIRD)
    assert bench.loads == [SECOND, THIRD, FOURTH], "the previous one was kept"


def test_a_promoted_candidate_serves_without_another_load(bench: Bench) -> None:
    bench.publish(SECOND)
    bench.move("candidate", SECOND)
    assert bench.offered == [TOY_VERSION, SECOND]
    candidate = bench.reloader.lineup.candidate
    bench.move("stable", SECOND)
    assert bench.offered == [SECOND, None]
    assert bench.reloader.lineup.stable is candidate
    assert bench.loads == [SECOND]


def spoil_golden(registry: ToyRegistry) -> None:
    path = registry.root / SECOND / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"temperature":1.25', b'"temperature":9.0'))


# What a version differs in, what happens to its files, and the reason for its refusal.
SPOILED: Mapping[str, tuple[Change, Callable[[ToyRegistry], object], str]] = {
    "hash": (Change(), lambda registry: registry.corrupt(SECOND), "model.tflite: sha256 differs from the manifest"),
    "golden": (Change(), spoil_golden, "golden review 0: probabilities are off"),
    "labels": (
        Change(labels=(0, 1, 2, 3, 4)),
        lambda _registry: None,
        "its labels [0, 1, 2, 3, 4] differ from the serving [1, 2, 3, 4, 5]",
    ),
    "folder": (
        Change(),
        lambda registry: (registry.root / SECOND).rename(registry.root / "elsewhere"),
        "manifest.json: No such file",
    ),
}


@pytest.mark.parametrize("role", ["stable", "candidate"])
@pytest.mark.parametrize("case", SPOILED)
def test_a_bad_version_is_refused_once_with_its_reason(bench: Bench, case: str, role: str) -> None:
    change, spoil, reason = SPOILED[case]
    bench.registry.publish(SECOND, change)
    spoil(bench.registry)
    channels = json.dumps({"stable": TOY_VERSION, role: SECOND})
    (bench.registry.root / "channels.json").write_text(channels, encoding="utf-8")
    for _ in range(3):
        bench.reloader.check()
        bench.clock.advance(5)
        bench.health.beat()
    assert bench.offered == [TOY_VERSION, None]
    assert bench.loads == [SECOND]
    assert bench.count("refused", role) == 1
    assert bench.log.names == ["model_refused"]
    (event,) = bench.log.events
    assert (event.level, event.fields["serving"], event.fields["model_version"]) == (logging.ERROR, TOY_VERSION, SECOND)
    assert reason in str(event.fields["reason"])
    assert reason in bench.health.notes[role]
    assert bench.health.reasons == {}, "a refused bundle leaves the worker ready"
    assert bench.metrics.registry.get_sample_value("starstream_model_refused", {"role": role}) == 1


def test_a_refused_version_is_tried_again_after_a_pause(bench: Bench) -> None:
    bench.publish(SECOND)
    bench.registry.corrupt(SECOND)
    bench.move("stable", SECOND)
    bench.registry.corrupt(SECOND)  # flips the byte back
    bench.clock.advance(RETRY_S - 1)
    bench.reloader.check()
    assert bench.offered == [TOY_VERSION, None]
    bench.clock.advance(1)
    bench.reloader.check()
    assert bench.offered == [SECOND, None]
    assert bench.health.notes == {}
    assert bench.metrics.registry.get_sample_value("starstream_model_refused", {"role": "stable"}) == 0


def test_a_refused_version_is_tried_again_when_the_channel_moves_back_to_it(bench: Bench) -> None:
    bench.publish(SECOND)
    bench.registry.corrupt(SECOND)
    bench.move("stable", SECOND)
    bench.move("stable", TOY_VERSION)
    assert bench.health.notes == {}
    bench.registry.corrupt(SECOND)
    bench.move("stable", SECOND)
    assert bench.offered == [SECOND, None]


def test_an_unreachable_registry_is_counted_and_logged_once(bench: Bench) -> None:
    with bench.registry.away():
        for _ in range(3):
            bench.reloader.check()
    assert bench.offered == [TOY_VERSION, None]
    assert bench.count("unreachable") == 3
    assert bench.log.names == ["registry_unreachable"]
    assert bench.health.notes["registry"].startswith(f"WORKER_REGISTRY={bench.registry.root}: no bundle there")
    assert bench.metrics.registry.get_sample_value("starstream_registry_reachable") == 0
    bench.reloader.check()
    assert bench.log.names == ["registry_unreachable", "registry_reachable"]
    assert bench.health.notes == {}
    assert bench.metrics.registry.get_sample_value("starstream_registry_reachable") == 1


def test_a_registry_that_fails_during_a_fetch_is_unreachable_and_refuses_no_version(bench: Bench) -> None:
    bench.publish(SECOND)
    bench.registry.point("stable", SECOND)
    bench.failures.append(RegistryError("connection reset"))
    bench.reloader.check()
    assert bench.offered == [TOY_VERSION, None]
    assert (bench.count("refused"), bench.count("unreachable")) == (0, 1)
    bench.reloader.check()
    assert bench.offered == [SECOND, None]


@pytest.mark.parametrize("content", ["", "[]", '{"candidate": "x"}', "\xff"])
def test_unreadable_channels_change_nothing(bench: Bench, content: str) -> None:
    (bench.registry.root / "channels.json").write_text(content, encoding="latin-1")
    bench.reloader.check()
    assert bench.offered == [TOY_VERSION, None]
    assert "registry" in bench.health.notes


def test_an_unforeseen_error_of_a_file_system_leaves_the_watch_running(bench: Bench) -> None:
    bench.failures.append(KeyError("raised by another package"))
    bench.reloader.check()
    assert bench.offered == [TOY_VERSION, None]
    assert "KeyError" in bench.health.notes["registry"]


def test_a_pinned_version_stays_whatever_the_channel_says(bench: Bench) -> None:
    bench.watch(None, "candidate")
    bench.publish(SECOND)
    bench.registry.point("stable", SECOND)
    bench.move("candidate", SECOND)
    assert bench.offered == [TOY_VERSION, SECOND]


def test_without_a_shadow_channel_there_is_no_candidate(bench: Bench) -> None:
    bench.watch("stable", None)
    bench.publish(SECOND)
    bench.move("candidate", SECOND)
    assert bench.offered == [TOY_VERSION, None]
    assert bench.loads == []


def test_a_promotion_does_not_wait_for_a_candidate_that_is_refused(bench: Bench) -> None:
    bench.publish(SECOND, THIRD)
    bench.registry.corrupt(THIRD)
    bench.registry.point("candidate", THIRD)
    bench.move("stable", SECOND)
    assert bench.offered == [SECOND, None]
    assert bench.count("refused", "candidate") == 1
