"""The supervisor's process metrics: the sums of the children's."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector

from worker.run.supervisor import ChildrenCollector


@pytest.fixture
def children() -> Iterator[list[int]]:
    waits = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    started = [subprocess.Popen(waits, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    for child in started:
        assert child.stdout is not None
        child.stdout.readline()  # it is up
    yield [child.pid for child in started]
    for child in started:
        child.communicate()


def _value(registry: CollectorRegistry, name: str) -> float:
    value = registry.get_sample_value(name)
    assert value is not None
    return value


def test_children_collector_adds_memory_up_and_shows_the_latest_start(children: list[int]) -> None:
    total = CollectorRegistry()
    total.register(ChildrenCollector(lambda: children))
    alone = []
    for pid in children:
        registry = CollectorRegistry()
        ProcessCollector(pid=functools.partial(int, pid), registry=registry)
        alone.append(registry)
    for name in ("process_resident_memory_bytes", "process_open_fds"):
        assert _value(total, name) == sum(_value(registry, name) for registry in alone)
    started = "process_start_time_seconds"
    assert _value(total, started) == max(_value(registry, started) for registry in alone)


def test_children_collector_has_no_metrics_without_children() -> None:
    registry = CollectorRegistry()
    registry.register(ChildrenCollector(lambda: [2**22 + 1]))  # no such process
    assert registry.get_sample_value("process_resident_memory_bytes") is None
