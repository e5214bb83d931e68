"""Rows of a live pipe: sent soon after they came, in order, and none is lost at the end or by a fault."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests import PATIENCE_S
from worker.clock import SystemClock
from worker.commands.row_batches import batches, live_batches
from worker.errors import SettingsError


def _never() -> bool:
    return False


def test_a_row_is_sent_before_the_next_one_comes() -> None:
    more = threading.Event()

    def rows() -> Iterator[int]:
        yield 1
        assert more.wait(PATIENCE_S), "the first row waited for the second"
        yield from (2, 3)

    found = live_batches(rows(), 500, SystemClock(), _never)
    assert next(found) == [1]
    more.set()
    assert [row for batch in found for row in batch] == [2, 3]


def test_rows_that_are_there_are_sent_together() -> None:
    found = list(live_batches(iter(range(1200)), 500, SystemClock(), _never))
    assert [row for batch in found for row in batch] == [*range(1200)]
    assert max(map(len, found)) == 500
    assert [len(batch) for batch in batches(iter(range(1200)), 500)] == [500, 500, 200]


def test_a_fault_of_the_input_comes_after_the_rows_before_it() -> None:
    def rows() -> Iterator[int]:
        yield 1
        raise SettingsError("--input -: not JSON")

    found = live_batches(rows(), 500, SystemClock(), _never)
    assert next(found) == [1]
    with pytest.raises(SettingsError, match="not JSON"):
        next(found)


def test_a_stop_does_not_wait_for_the_next_row() -> None:
    stopped, forever = threading.Event(), threading.Event()

    def rows() -> Iterator[int]:
        yield 1
        forever.wait()

    found = live_batches(rows(), 500, SystemClock(), stopped.is_set)
    assert next(found) == [1]
    stopped.set()
    assert list(found) == []
    forever.set()
