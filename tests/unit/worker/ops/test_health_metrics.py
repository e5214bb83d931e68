"""The health as metrics, read when it is scraped."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry

from tests.doubles import ManualClock
from worker.ops.health import Health
from worker.ops.health_metrics import PARTS, HealthCollector
from worker.ops.http_server import HealthView
from worker.run.child_status import SupervisedHealth, report_status


def shown(health: HealthView, processes: int = 1) -> tuple[float, dict[str, float]]:
    """Return how many are ready, and the parts that keep processes from it."""
    registry = CollectorRegistry()
    registry.register(HealthCollector(health, processes))
    found = {part: registry.get_sample_value("starstream_not_ready", {"part": part}) or 0.0 for part in PARTS}
    return registry.get_sample_value("starstream_ready") or 0.0, {part: n for part, n in found.items() if n}


def test_a_process_is_ready_or_shows_what_keeps_it_from_that(clock: ManualClock) -> None:
    health = Health(clock, stall_s=120, parts=("redis",))
    assert shown(health) == (0, {"redis": 1})
    health.up("redis")
    assert shown(health) == (1, {})


def test_a_loop_that_is_stuck_shows_though_nothing_reports_it(clock: ManualClock) -> None:
    health = Health(clock, stall_s=120, parts=())
    clock.advance(11)
    assert shown(health) == (0, {"loop": 1})


def test_the_supervisor_counts_its_processes(clock: ManualClock, tmp_path: Path) -> None:
    files = {slot: tmp_path / f"slot-{slot}.json" for slot in range(3)}
    report_status(files[0], Health(clock, stall_s=120, parts=()))
    report_status(files[1], Health(clock, stall_s=120, parts=("kafka", "redis")))
    assert shown(SupervisedHealth(files), 3) == (1, {"kafka": 1, "redis": 1, "process": 1})
