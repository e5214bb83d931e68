"""When a fenced producer means that another process has this one's name."""

from __future__ import annotations

import pytest

from tests.doubles import ManualClock
from worker.errors import FencedError, ProducerFencedError, ServiceError, TransientError
from worker.kafka.fencing import FencingWatch
from worker.settings import WorkerSettings


@pytest.mark.parametrize(
    ("after_s", "pause_s", "error", "final"),
    [
        (0.1, 100, ProducerFencedError, True),
        (15, 100, ProducerFencedError, False),
        (0.1, 400, ProducerFencedError, False),
        (0.1, 100, TransientError, False),
    ],
    ids=["often", "at the transaction's time-out", "seldom", "another error"],
)
def test_fencing_is_final_when_it_is_frequent_and_no_time_out(
    after_s: float, pause_s: float, error: type[ServiceError], final: bool, clock: ManualClock
) -> None:
    watch = FencingWatch(WorkerSettings(_env_file=None), clock)

    def fail() -> None:
        watch.begin()
        clock.advance(after_s)
        watch.check(error("kafka", "refused"))
        clock.advance(pause_s)

    fail()
    fail()
    if final:
        with pytest.raises(FencedError, match="WORKER_INSTANCE_ID"):
            fail()
    else:
        fail()
