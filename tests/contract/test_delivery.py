"""The Delivery port: what is published, when offsets are committed, and that a failure leaves both or neither.

One suite for memory, at-least-once and exactly-once. At-least-once may publish outcomes that it then fails to commit;
the other two must not.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from typing import Any

import pytest

from deploy.process import wait_until
from schemas.dead_letter import CONNECT, OWN, SPRING
from schemas.rating import SOURCE_HEADER, Rating, SourcePosition
from tests import PATIENCE_S
from tests.contract.worlds import KafkaStreamWorld, StreamWorld
from tests.doubles import commit, make_rated, make_record
from worker.errors import RefusedError, TransientError
from worker.records import Deleted, Outcome, Record, next_offsets
from worker.stream.ports import Delivery, Source
from worker.stream.rejection import rejected


def joined(world: StreamWorld, count: int = 6, **settings: Any) -> tuple[Source, Delivery, list[Record]]:
    """Return a member that has read `count` reviews, its delivery, and the reviews."""
    world.produce(*(make_record(f"text {number}", topic=world.topic, partition=number % 3) for number in range(count)))
    member = world.member(**settings)
    return member, world.delivery(member, **settings), world.read(member, count)


def rated(records: Sequence[Record]) -> list[Outcome]:
    return [make_rated(f"{record.partition}-{record.offset}", record=record) for record in records]


def ids(records: Sequence[Record]) -> list[str]:
    return sorted((record.key or b"").decode() for record in records)


def await_committed(world: StreamWorld, offsets: list[int]) -> None:
    """Wait until the group has these offsets: the markers that make them visible follow a commit's answer."""
    wait_until(lambda: [world.committed(number) for number in range(3)] == offsets, PATIENCE_S, f"offsets {offsets}")


def test_ratings_are_published_and_their_offsets_committed(delivery_world: StreamWorld) -> None:
    _, delivery, records = joined(delivery_world)
    traced = make_record(topic=delivery_world.topic, headers=[("traceparent", b"t"), ("x", b"y"), ("baggage", b"s")])
    commit(delivery, [*rated(records), make_rated("traced", record=traced)], next_offsets(records))
    published = delivery_world.published(delivery_world.output_topic)
    assert ids(published) == ["0-0", "0-1", "1-0", "1-1", "2-0", "2-1", "traced"]
    await_committed(delivery_world, [2, 2, 2])
    for record in published:
        rating = Rating.from_json(record.value or b"")
        assert rating.review_id.encode() == record.key
        traces = {"traceparent": b"t", "baggage": b"s"} if record.key == b"traced" else {}
        assert dict(record.headers) == {"content-type": b"application/json", **traces}


def test_a_full_batch_is_published_whole_and_each_review_in_order(delivery_world: StreamWorld) -> None:
    _, delivery, records = joined(delivery_world, 3)
    outcomes: list[Outcome] = [make_rated(f"r{number % 7}", 1 + number % 5) for number in range(2000)]
    commit(delivery, [*outcomes, Deleted(records[1], "r0")], next_offsets(records))
    published = delivery_world.published(delivery_world.output_topic)
    for number in range(7):
        values = [record.value for record in published if record.key == f"r{number}".encode()]
        stars = [Rating.from_json(value).rating for value in values if value is not None]
        assert stars == [1 + at % 5 for at in range(number, 2000, 7)]
        assert values.count(None) == (number == 0)
        assert (values[-1] is None) == (number == 0)


def test_a_deletion_is_published_as_a_tombstone(delivery_world: StreamWorld) -> None:
    _, delivery, records = joined(delivery_world, 1)
    traced = make_record(None, key=b"r1", topic=delivery_world.topic, headers=[("traceparent", b"t"), ("x", b"y")])
    commit(delivery, [Deleted(traced, "r1")], next_offsets(records))
    (tombstone,) = delivery_world.published(delivery_world.output_topic)
    assert (tombstone.key, tombstone.value) == (b"r1", None)
    position = SourcePosition(traced.topic, traced.partition, traced.offset, traced.timestamp).to_json()
    assert [tuple(header) for header in tombstone.headers] == [(SOURCE_HEADER, position), ("traceparent", b"t")]


def test_a_dead_letter_keeps_the_original_record_and_adds_both_families_of_headers(delivery_world: StreamWorld) -> None:
    _, delivery, records = joined(delivery_world, 1)
    original = make_record(
        b"\xff\x00not text",
        key=b"\xfekey",
        topic=delivery_world.topic,
        partition=2,
        offset=77,
        timestamp=1_600_000_000_123,
        headers=[("traceparent", b"00-aa"), ("own", b"\xff")],
    )
    letter = rejected(original, "not_utf8", "value: not UTF-8 at byte 0; send UTF-8", model_version="v1")
    commit(delivery, [letter], next_offsets(records))
    (dead,) = delivery_world.published(delivery_world.dead_letter_topic)
    assert (dead.key, dead.value, dead.timestamp) == (original.key, original.value, original.timestamp)
    headers = {name: value or b"" for name, value in dead.headers}
    assert [tuple(header) for header in dead.headers][:2] == list(original.headers)
    assert headers[f"{CONNECT}topic"] == delivery_world.topic.encode()
    assert (headers[f"{CONNECT}partition"], headers[f"{CONNECT}offset"]) == (b"2", b"77")
    assert struct.unpack(">q", headers[f"{SPRING}original-offset"]) == (77,)
    assert struct.unpack(">q", headers[f"{SPRING}original-timestamp"]) == (1_600_000_000_123,)
    assert (headers[f"{OWN}reason"], headers[f"{OWN}model-version"]) == (b"not_utf8", b"v1")
    assert delivery_world.published(delivery_world.output_topic) == []


def test_a_record_with_a_null_header_is_published(delivery_world: StreamWorld) -> None:
    _, delivery, records = joined(delivery_world, 1)
    odd = make_record(b"\xff", topic=delivery_world.topic, headers=[("null", None), ("traceparent", None)])
    commit(delivery, [rejected(odd, "not_utf8", "x", model_version="v"), make_rated(record=odd)], next_offsets(records))
    assert len(delivery_world.published(delivery_world.dead_letter_topic)) == 1
    assert len(delivery_world.published(delivery_world.output_topic)) == 1


def test_prepared_outcomes_are_not_readable_before_commit(delivery_world: StreamWorld) -> None:
    _, delivery, records = joined(delivery_world)
    delivery.prepare(rated(records), next_offsets(records))
    time.sleep(0.5)  # longer than a commit's markers take
    assert delivery_world.published(delivery_world.output_topic, settled=False) == []
    assert [delivery_world.committed(number) for number in range(3)] == [0, 0, 0]
    delivery.commit()
    assert len(delivery_world.published(delivery_world.output_topic)) == 6


def test_aborted_outcomes_are_not_published_and_can_be_committed_later(delivery_world: StreamWorld) -> None:
    # The time-out is longer than the test, so that the brokers do not abort the transaction themselves.
    _, delivery, records = joined(delivery_world, transaction_timeout_s=60.0)
    delivery.abort()  # with nothing prepared
    for _ in range(2):
        delivery.prepare(rated(records), next_offsets(records))
        delivery.abort()
    assert [delivery_world.committed(number) for number in range(3)] == [0, 0, 0]
    others = [make_record("x", key=b"x", topic=delivery_world.output_topic, partition=number) for number in range(3)]
    delivery_world.produce(*others)
    assert ids(delivery_world.published(delivery_world.output_topic)) == ["x"] * 3, "no open transaction blocks readers"
    delivery.ping()
    commit(delivery, rated(records), next_offsets(records))
    keys = ["0-0", "0-1", "1-0", "1-1", "2-0", "2-1", "x", "x", "x"]
    assert ids(delivery_world.published(delivery_world.output_topic)) == keys
    await_committed(delivery_world, [2, 2, 2])


def test_many_batches_are_committed_in_a_row_also_without_outcomes(delivery_world: StreamWorld) -> None:
    _, delivery, records = joined(delivery_world, 30)
    for number in range(10):
        batch = [record for record in records if record.offset == number]
        commit(delivery, rated(batch) if number < 9 else [], next_offsets(batch))
    assert len(delivery_world.published(delivery_world.output_topic)) == 27
    await_committed(delivery_world, [10, 10, 10])


def test_a_ping_says_which_topic_is_missing(delivery_world: StreamWorld) -> None:
    member, delivery, _ = joined(delivery_world, 1)
    delivery.ping()
    absent = delivery_world.delivery(member, dead_letter_topic="nowhere-at-all", request_timeout_s=1.0)
    with pytest.raises(TransientError, match="nowhere-at-all"):
        absent.ping()


def test_without_the_output_topic_nothing_is_committed_until_it_exists(delivery_world: StreamWorld) -> None:
    late = f"{delivery_world.output_topic}-late"
    member, _, records = joined(delivery_world)
    delivery = delivery_world.delivery(member, output_topic=late, request_timeout_s=1.0)
    with pytest.raises(TransientError):
        commit(delivery, rated(records), next_offsets(records))
    assert [delivery_world.committed(number) for number in range(3)] == [0, 0, 0]
    delivery_world.create(late)
    delivery.ping()
    commit(delivery, rated(records), next_offsets(records))
    assert ids(delivery_world.published(late)) == ["0-0", "0-1", "1-0", "1-1", "2-0", "2-1"]
    await_committed(delivery_world, [2, 2, 2])


def test_a_member_cannot_commit_partitions_that_it_has_lost(delivery_world: StreamWorld) -> None:
    """A process that was frozen for longer than its session must not move the new owners' offsets."""
    first, delivery, records = joined(delivery_world, 6)
    delivery_world.evict(first)
    second = delivery_world.member()
    theirs = delivery_world.read(second, 6)
    second_delivery = delivery_world.delivery(second)
    commit(second_delivery, rated(theirs), next_offsets(theirs))
    before = len(delivery_world.published(delivery_world.output_topic))
    with pytest.raises(TransientError):
        commit(delivery, rated(records[:1]), {delivery_world.at(0): 1})
    assert delivery_world.committed(0) == 2
    if not is_at_least_once(delivery_world):
        assert len(delivery_world.published(delivery_world.output_topic)) == before
    first.close(2.0)


def is_at_least_once(world: StreamWorld) -> bool:
    return isinstance(world, KafkaStreamWorld) and world.kind == "at_least_once"


@pytest.mark.parametrize(
    ("size", "header_bytes"), [(999_000, 200), (1_000_001, 200), (1_048_000, 200), (900_000, 148_200)]
)
def test_the_dead_letter_of_the_largest_record_fits_the_brokers_limit(
    size: int, header_bytes: int, delivery_world: StreamWorld
) -> None:
    """Headers make a letter larger than its record; if it were refused, the worker would retry indefinitely."""
    member, delivery, records = joined(delivery_world, 1)
    large = make_record(b"x" * size, topic=delivery_world.topic, headers=[("trace", b"t" * header_bytes)])
    delivery_world.produce(large)
    (read,) = delivery_world.read(member, 1)
    letter = rejected(read, "text_too_long", "text: too long", model_version="v1")
    commit(delivery, [letter], next_offsets([*records, read]))
    (dead,) = delivery_world.published(delivery_world.dead_letter_topic)
    assert dead.value is not None
    assert large.value is not None
    assert large.value.startswith(dead.value)
    if len(dead.value) < size:
        assert dict(dead.headers)[f"{OWN}truncated-from-bytes"] == str(size).encode()


def test_a_batch_that_the_brokers_refuse_is_not_committed(delivery_world: StreamWorld) -> None:
    _, delivery, records = joined(delivery_world)
    outcomes = [*rated(records), make_rated("refused", app_id="a" * 1_200_000, record=records[0])]
    with pytest.raises(RefusedError) as refused:
        commit(delivery, outcomes, next_offsets(records))
    assert refused.value.records == [records[0]]
    delivery.ping()
    delivery_world.published(delivery_world.output_topic)  # waits until no transaction is open
    assert [delivery_world.committed(number) for number in range(3)] == [0, 0, 0]
    commit(delivery, rated(records), next_offsets(records))
    await_committed(delivery_world, [2, 2, 2])


def test_close_can_be_called_twice(delivery_world: StreamWorld) -> None:
    _, delivery, _ = joined(delivery_world, 1)
    delivery.close(2.0)
    delivery.close(2.0)
