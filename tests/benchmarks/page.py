"""The worker's page as the harness reads it: whether it is ready, and seconds of its loop by phase."""

from __future__ import annotations

import time
from collections.abc import Iterator
from http import HTTPStatus

from prometheus_client.parser import text_string_to_metric_families

from deploy.page import fetch
from tests.benchmarks.processes import RowError, Watched

_LOOK_EVERY_S = 0.01
_LOOP_SECONDS = "starstream_loop_seconds_total"


def await_ready(page: str, program: Watched, timeout_s: float = 60.0) -> float:
    """Block until `/readyz` says yes; return when it did."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        program.require_alive()
        if fetch(f"{page}/readyz")[0] == HTTPStatus.OK:
            return time.monotonic()
        time.sleep(_LOOK_EVERY_S)
    raise RowError(f"{page}/readyz: not ready in {timeout_s:.0f} s")


def loop_seconds(page: str) -> dict[str, float]:
    """Return the seconds the loop has spent in each phase, `phase_<name>`, summed over processes."""
    return {f"phase_{labels['phase']}": value for name, labels, value in _samples(page) if name == _LOOP_SECONDS}


def mean_batch(page: str) -> dict[str, float]:
    """Return `batch_reviews` and `batch_ms`: the mean batch so far, and how long the loop took for it."""
    sums: dict[str, float] = {}
    for name, labels, value in _samples(page):
        if labels.get("phase") not in {"wait", "poll"}:  # those lie between two batches
            sums[name] = sums.get(name, 0.0) + value
    batches = max(1.0, sums["starstream_batch_reviews_count"])
    return {
        "batch_reviews": sums["starstream_batch_reviews_sum"] / batches,
        "batch_ms": sums[_LOOP_SECONDS] / batches * 1000,
    }


def _samples(page: str) -> Iterator[tuple[str, dict[str, str], float]]:
    status, text = fetch(f"{page}/metrics")
    if status != HTTPStatus.OK:
        raise RowError(f"{page}/metrics: no answer")
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value
