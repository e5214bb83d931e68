"""The loop during an outage, after a permanent error, and when it is stopped meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.doubles import REFUSED, TOPIC, StubDecoder
from tests.fixtures.world import GONE, KAFKA_GONE, World
from worker.errors import FencedError, PermanentError, ServiceError, TransientError
from worker.records import Outcome, Partition, Rated
from worker.stream.parse import Parser

REGISTRY_GONE = TransientError("schema_registry", "connection refused")


@pytest.mark.parametrize("part", ["store", "delivery", "source"])
def test_an_outage_neither_loses_nor_duplicates_a_record(part: str) -> None:
    world = World()
    error = GONE if part == "store" else KAFKA_GONE
    world.faults[part].then(None, error)
    world.store.ping_faults.then(*[GONE] * (3 if part == "store" else 0))
    world.delivery.ping_faults.then(*[KAFKA_GONE] * (0 if part == "store" else 3))
    for partition in (0, 1):
        world.produce(*["love it", "bad"] * 10, partition=partition)
    world.steps()
    world.assert_settled_once()
    assert world.source.held_s > 0
    assert world.health.reasons == {}
    assert world.pipeline.backoff.attempts == 0, "the next outage starts with short waits again"
    assert world.log.names.count("outage") == 1, "logged once, not at every retry"
    assert world.log.names[-1] == "recovered"


def test_a_record_whose_schema_cannot_be_fetched_waits_and_is_no_dead_letter() -> None:
    world = World()
    decoder = StubDecoder()
    world.pipeline.parser = Parser("auto", 1000, decoder=decoder)
    world.produce(*["love it"] * 5)
    seen: list[dict[str, str]] = []
    world.source.on_hold = lambda: seen.append(dict(world.health.reasons))
    decoder.faults.then(None, None, REGISTRY_GONE)
    decoder.ping_faults.then(*[REGISTRY_GONE] * 3)
    world.steps()
    world.assert_settled_once()
    assert all(isinstance(outcome, Rated) for outcome in world.outcomes)
    assert {"schema_registry": str(REGISTRY_GONE)} in seen
    assert world.health.reasons == {}
    assert world.log.names.count("outage") == 1
    assert world.sample("starstream_not_ready", part="schema_registry") == 0


def test_during_an_outage_the_worker_is_not_ready_and_says_why() -> None:
    world = World()
    world.produce("love it")
    world.store.faults.then(GONE)
    seen: list[tuple[float, dict[str, str]]] = []
    world.source.on_hold = lambda: seen.append((world.sample("starstream_ready"), dict(world.health.reasons)))
    world.steps()
    assert seen
    assert all(found == (0, {"redis": "redis: connection refused"}) for found in seen)
    world.pipeline.step()
    assert world.sample("starstream_ready") == 1


def test_a_long_outage_backs_off_and_keeps_the_heartbeat() -> None:
    world = World()
    world.produce("love it")
    world.store.faults.then(GONE)
    world.store.ping_faults.then(*[GONE] * 30)
    started = world.clock.monotonic()
    world.steps()
    waited = world.clock.monotonic() - started
    assert 30 < waited < 30 * 10.0 + 1
    assert world.health.silent_s < 1
    world.assert_settled_once()


def test_a_failing_hold_does_not_spin() -> None:
    world = World()
    world.produce("love it")
    world.store.faults.then(GONE)
    holds: list[float] = []

    def fail() -> None:
        holds.append(world.clock.monotonic())
        raise KAFKA_GONE

    world.source.on_hold = fail
    world.steps()
    assert 0 < len(holds) < 20


def test_stop_drains_the_queued_records() -> None:
    world = World(batch=1000)
    world.produce(*["love"] * 200)
    world.pipeline.batcher.cost.fixed_s = 1.0  # so expensive that 200 reviews wait for more
    world.pipeline.step()
    assert world.lag == 200
    world.pipeline.stop()
    world.pipeline.run()
    assert world.lag == 0
    assert world.sample("starstream_batches_released_total", reason="drain") == 1
    world.assert_settled_once()


def test_stop_during_an_outage_ends_the_loop_and_commits_nothing() -> None:
    world = World()
    world.produce("love")
    world.store.faults.then(GONE)
    world.source.on_hold = world.pipeline.stop
    world.store.ping_faults.then(*[GONE] * 1000)
    world.pipeline.run()
    assert world.cluster.committed == {}
    assert world.source.held_s <= 0.5
    assert world.log.names[-1] == "outage", "nothing has recovered"


def test_outage_while_draining_leaves_the_rest_to_the_next_owner() -> None:
    world = World(batch=100)
    world.produce(*["love"] * 10)
    world.store.faults.then(GONE)
    world.pipeline.batcher.add(world.source.poll(100, 0.0), world.clock.monotonic())
    world.pipeline.stop()
    world.pipeline.run()
    assert world.cluster.committed == {}
    next_owner = world.another()
    world.source.close(0)
    next_owner.steps()
    assert [outcome.record.offset for outcome in next_owner.delivery.outcomes] == list(range(10))


@pytest.mark.parametrize("error", [PermanentError("redis", "WRONGTYPE"), FencedError("kafka", "fenced")])
@pytest.mark.parametrize("part", ["store", "delivery", "source"])
def test_permanent_errors_end_the_loop_with_nothing_committed(part: str, error: ServiceError) -> None:
    world = World()
    world.faults[part].then(error)
    world.produce("love")
    with pytest.raises(type(error)):
        world.steps()
    assert world.cluster.committed == {}


def test_a_missing_input_topic_is_reported_until_it_exists() -> None:
    world = World()
    world.cluster.delete(TOPIC)
    world.pipeline.step()
    assert world.health.reasons["kafka"] == (
        "kafka: WORKER_INPUT_TOPICS: reviews: no such topic on the brokers; create it"
    )
    world.cluster.create(TOPIC, 1)
    world.produce("love")
    world.steps()
    assert world.health.reasons == {}
    assert world.log.names.count("outage") == 1


def test_a_failed_checkpoint_is_counted_and_settles_nothing() -> None:
    world = World()
    world.produce("love it")
    world.delivery.faults.then(KAFKA_GONE)
    world.pipeline.step()
    assert world.sample("starstream_checkpoints_total", result="failed") == 1
    assert world.sample("starstream_sink_errors_total", sink="topic", kind="transient") == 1
    assert world.sample("starstream_reviews_settled_total", outcome="rated") == 0


failures = st.lists(st.sampled_from([None, None, GONE]), max_size=6)
kafka_failures = st.lists(st.sampled_from([None, None, KAFKA_GONE]), max_size=6)
texts = st.sampled_from(["love it", "bad", "so so", REFUSED, "", "{", None])
produced = st.lists(st.tuples(st.integers(0, 2), texts, st.integers(0, 30)), max_size=40)


@given(produced, failures, kafka_failures, kafka_failures, st.integers(1, 7))
def test_every_record_is_settled_once_whatever_fails(
    produced: list[tuple[int, str | None, int]],
    store_fails: list[ServiceError | None],
    delivery_fails: list[ServiceError | None],
    poll_fails: list[ServiceError | None],
    batch: int,
) -> None:
    world = World(batch=batch, partitions=3)
    world.store.faults.then(*store_fails)
    world.delivery.faults.then(*delivery_fails)
    world.source.faults.then(*poll_fails)
    for partition, text, in_ms in produced:
        world.produce(text, partition=partition, in_s=in_ms / 1000)
    world.steps()
    world.assert_settled_once()


def test_after_a_failed_commit_batches_are_smaller_until_the_brokers_take_them() -> None:
    world = World(batch=16)
    world.produce(*["love"] * 64)
    sizes: list[int] = []
    prepare = world.delivery.prepare

    def throttled(outcomes: Sequence[Outcome], offsets: Mapping[Partition, int]) -> None:
        sizes.append(len(outcomes))
        if len(outcomes) > 4:
            raise KAFKA_GONE
        prepare(outcomes, offsets)

    world.delivery.prepare = throttled  # type: ignore[method-assign]
    world.steps()
    world.assert_settled_once()
    assert sizes[:3] == [16, 8, 4]
    assert sum(size > 4 for size in sizes) < sum(size <= 4 for size in sizes), "it does not fail every second time"
    world.delivery.prepare = prepare  # type: ignore[method-assign]
    world.produce(*["love"] * 200)
    world.steps()
    assert world.pipeline.batcher.most_records == 16
