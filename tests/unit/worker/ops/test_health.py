"""The health of a process: reasons, notes, and the time since its last step."""

from __future__ import annotations

from tests.doubles import ManualClock
from worker.ops.health import QUIET_S, Health


def make_health(clock: ManualClock) -> Health:
    return Health(clock, stall_s=120, parts=("model", "kafka"))


def test_a_process_starts_not_ready_with_a_reason_for_each_part(clock: ManualClock) -> None:
    health = make_health(clock)
    assert health.reasons == {"model": "starting", "kafka": "starting"}
    assert health.alive


def test_a_change_of_a_part_is_new_once(clock: ManualClock) -> None:
    health = make_health(clock)
    assert health.up("model")
    assert not health.up("model")
    assert health.up("kafka")
    assert health.reasons == {}
    assert health.down("kafka", "away")
    assert not health.down("kafka", "away")
    assert health.down("kafka", "still away")
    assert health.reasons == {"kafka": "still away"}


def test_a_silent_loop_is_first_not_ready_then_stuck(clock: ManualClock) -> None:
    health = Health(clock, stall_s=120, parts=())
    clock.advance(QUIET_S)
    assert health.reasons == {}
    clock.advance(1)
    assert health.reasons == {"loop": "no progress for 11 s"}
    clock.advance(120)
    stuck = not health.alive
    assert stuck
    health.beat()
    assert health.alive
    assert health.reasons == {}
