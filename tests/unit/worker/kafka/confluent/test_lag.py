"""Positions past markers, and stalled partitions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.doubles import ManualClock
from worker.kafka.confluent.lag import LagTracker
from worker.ops.metrics import Metrics
from worker.records import Partition

AT = Partition("reviews", 0)


class Ends:
    """A consumer, as far as the lag tracker uses it."""

    def __init__(self, end: int) -> None:
        self.end = end

    def get_watermark_offsets(self, _at: object, *, cached: bool) -> tuple[int, int]:
        assert cached, "not a request every second"
        return (0, self.end)


@pytest.fixture
def lag(metrics: Metrics, clock: ManualClock) -> LagTracker:
    clock.advance(10)
    return LagTracker(metrics, clock)


def reported(lag: LagTracker, clock: ManualClock) -> dict[Partition, int]:
    clock.advance(1)
    return dict(lag.offsets_past_markers())


def test_an_end_past_the_last_record_is_reported_once(lag: LagTracker, clock: ManualClock) -> None:
    lag.returned({AT: 9})
    lag.reached_end(AT, 11)
    assert reported(lag, clock) == {AT: 11}
    assert reported(lag, clock) == {}


def test_an_end_right_after_the_last_record_is_not_reported(lag: LagTracker, clock: ManualClock) -> None:
    lag.returned({AT: 9})
    lag.reached_end(AT, 10)
    assert reported(lag, clock) == {}


def test_offsets_past_markers_are_reported_again_after_a_failed_commit(lag: LagTracker, clock: ManualClock) -> None:
    lag.returned({AT: 9})
    lag.reached_end(AT, 11)
    reported(lag, clock)
    lag.clear()
    assert reported(lag, clock) == {AT: 11}


@pytest.mark.parametrize(
    "change",
    [
        lambda lag: lag.drop([AT]),
        lambda lag: lag.sought(AT, 3),
        lambda lag: lag.drop_ends([AT]),
    ],
    ids=["dropped", "sought", "more records"],
)
def test_an_end_is_not_reported_once_the_position_has_moved(
    change: Callable[[LagTracker], None], lag: LagTracker, clock: ManualClock
) -> None:
    """Committing it would skip records: of a topic created again, or read again after a failure."""
    lag.returned({AT: 99})
    lag.reached_end(AT, 101)
    change(lag)
    lag.returned({AT: 24})
    assert reported(lag, clock) == {}


def test_a_stalled_partition_is_reported(lag: LagTracker, clock: ManualClock) -> None:
    lag.returned({AT: 99})
    for _ in range(70):
        clock.advance(1)
        lag.observe_all(Ends(110), {AT})
    assert "reviews-0: records are waiting" in str(lag.stalled_reason({AT}))
    lag.clear()  # it was paused on purpose
    assert lag.stalled_reason({AT}) is None


def test_a_partition_without_any_record_is_reported_as_stalled(lag: LagTracker, clock: ManualClock) -> None:
    for _ in range(70):
        clock.advance(1)
        lag.observe_all(Ends(110), {AT})
    assert "reviews-0: records are waiting" in str(lag.stalled_reason({AT}))


@pytest.mark.parametrize(("states", "connected"), [(["DOWN", "UP"], True), (["DOWN", "TRY_CONNECT"], False)])
def test_one_connected_broker_is_enough(states: Sequence[str], connected: bool, lag: LagTracker) -> None:
    brokers = ",".join(f'"{number}": {{"state": "{state}"}}' for number, state in enumerate(states))
    lag.on_statistics(f'{{"brokers": {{{brokers}}}}}')
    assert lag.connected is connected
