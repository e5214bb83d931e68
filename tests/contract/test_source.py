"""The Source port: how a member of the group reads, holds, loses partitions and reads again."""

from __future__ import annotations

import time

import pytest

from tests.contract.worlds import StreamWorld, as_set
from tests.doubles import by_partition, make_record
from worker.records import Partition


def produce(world: StreamWorld, per_partition: int, start: int = 0) -> set[tuple[int, int]]:
    """Produce to each partition and return the positions."""
    offsets = range(start, start + per_partition)
    positions = [(number, offset) for number in range(world.partitions) for offset in offsets]
    world.produce(
        *(make_record(f"text {number}-{offset}", topic=world.topic, partition=number) for number, offset in positions)
    )
    return set(positions)


def test_everything_produced_is_read_once_in_order_and_no_more_than_max_records_a_poll(
    stream_world: StreamWorld,
) -> None:
    positions = produce(stream_world, 100)
    records = stream_world.read(stream_world.member(), 300, max_records=37)
    assert as_set(records) == positions
    assert len(records) == 300
    assert all(offsets == list(range(100)) for offsets in by_partition(records).values())


def test_a_record_has_the_fields_that_were_produced(stream_world: StreamWorld) -> None:
    sent = make_record(
        b"\x00\xff bytes",
        key=b"\xfekey",
        topic=stream_world.topic,
        partition=2,
        timestamp=1_700_000_000_123,
        headers=[("a", b"1"), ("b", b"\xff"), ("a", b"2")],
    )
    stream_world.produce(sent, make_record(None, key=b"gone", topic=stream_world.topic, partition=2))
    first, second = stream_world.read(stream_world.member(), 2)
    assert (first.topic, first.partition, first.offset) == (stream_world.topic, 2, 0)
    assert (first.key, first.value, first.timestamp) == (sent.key, sent.value, sent.timestamp)
    assert [tuple(header) for header in first.headers] == list(sent.headers)
    assert (second.key, second.value) == (b"gone", None)


def test_an_empty_poll_blocks_no_longer_than_its_timeout(stream_world: StreamWorld) -> None:
    member = stream_world.member()
    stream_world.settle_membership(member)
    started = time.monotonic()
    assert list(member.poll(10, 0.2)) == []
    assert time.monotonic() - started < 2.0


def test_a_missing_topic_is_reported_and_read_once_it_is_created(stream_world: StreamWorld) -> None:
    late = f"{stream_world.topic}-late"
    member = stream_world.member(input_topics=[late])
    for _ in range(5):
        member.poll(1, 0.1)
        assert f"WORKER_INPUT_TOPICS: {late}: no such topic" in str(member.not_ready_reason())
    stream_world.create(late)
    stream_world.produce(make_record("at last", topic=late))
    assert [record.value for record in stream_world.read(member, 1)] == [b"at last"]
    assert member.not_ready_reason() is None


def test_not_ready_reason_is_none_once_the_member_has_joined(stream_world: StreamWorld) -> None:
    member = stream_world.member()
    assert "joining the consumer group" in str(member.not_ready_reason())
    stream_world.settle_membership(member)
    assert member.not_ready_reason() is None


def test_a_member_without_partitions_is_ready_and_takes_over_at_once(stream_world: StreamWorld) -> None:
    members = [stream_world.member() for _ in range(4)]
    stream_world.settle_membership(*members)  # all are ready
    positions = produce(stream_world, 5)
    shares = stream_world.read_shared(members, 15)
    assert sorted(map(len, shares)) == [0, 5, 5, 5]
    surplus = members.pop(shares.index([]))
    for member in members:
        member.close(2.0)
    assert as_set(stream_world.read(surplus, 15)) == positions


@pytest.mark.parametrize("holds", [0, 1])
def test_rewound_partitions_are_read_again_from_the_given_offset(holds: int, stream_world: StreamWorld) -> None:
    """Those that are owned; the loop holds them during an outage."""
    produce(stream_world, 10)
    member = stream_world.member()
    stream_world.read(member, 30)
    not_owned = [Partition(stream_world.topic, 99), Partition("other", 0)]
    member.rewind({stream_world.at(0): 4, stream_world.at(2): 9, **dict.fromkeys(not_owned, 0)})
    for _ in range(holds):
        member.hold(0.3)
    again = stream_world.read(member, 7)
    assert by_partition(again) == {stream_world.at(0): [4, 5, 6, 7, 8, 9], stream_world.at(2): [9]}
    assert list(member.poll(10, 0.2)) == []


def test_rewound_partitions_are_read_from_what_is_committed(stream_world: StreamWorld) -> None:
    """Below the given offset, too, and where none is given: a crash of the brokers may undo what they confirmed."""
    produce(stream_world, 10)
    member = stream_world.member()
    stream_world.read(member, 30)
    stream_world.commit(member, {stream_world.at(0): 2, stream_world.at(1): 5})
    member.rewind({stream_world.at(0): 4})
    again = stream_world.read(member, 13)
    assert by_partition(again) == {stream_world.at(0): list(range(2, 10)), stream_world.at(1): list(range(5, 10))}
    assert list(member.poll(10, 0.2)) == []
    member.rewind({stream_world.at(1): 1})
    assert len(stream_world.read(member, 13)) == 13


def test_a_partition_that_is_rewound_twice_skips_what_is_committed(stream_world: StreamWorld) -> None:
    """The second time, before a poll, it has nothing uncommitted: its records are not read yet."""
    produce(stream_world, 10)
    member = stream_world.member()
    stream_world.read(member, 30)
    stream_world.commit(member, {stream_world.at(0): 8})
    member.rewind({stream_world.at(0): 4})
    member.rewind({})
    assert by_partition(stream_world.read(member, 2)) == {stream_world.at(0): [8, 9]}


def test_hold_takes_no_record_and_loses_none(stream_world: StreamWorld) -> None:
    member = stream_world.member()
    stream_world.settle_membership(member)
    positions = produce(stream_world, 5)
    for _ in range(3):
        member.hold(0.2)
    assert as_set(stream_world.read(member, 15)) == positions


def test_hold_while_joining_loses_no_record(stream_world: StreamWorld) -> None:
    """A partition that is assigned during a hold was not paused: its records must be read again."""
    positions = produce(stream_world, 5)
    member = stream_world.member()
    for _ in range(8):
        member.hold(0.2)
    records = stream_world.read(member, 15)
    assert as_set(records) == positions
    assert all(offsets == list(range(5)) for offsets in by_partition(records).values())


def test_a_new_member_continues_at_the_committed_offsets(stream_world: StreamWorld) -> None:
    produce(stream_world, 10)
    first = stream_world.member()
    stream_world.read(first, 30)
    stream_world.commit(first, {stream_world.at(0): 10, stream_world.at(1): 7})
    first.close(5.0)
    assert (stream_world.committed(0), stream_world.committed(1), stream_world.committed(2)) == (10, 7, 0)
    rest = stream_world.read(stream_world.member(), 13)
    assert by_partition(rest) == {stream_world.at(1): [7, 8, 9], stream_world.at(2): list(range(10))}


def test_partitions_move_to_a_second_member_and_back_when_it_leaves(stream_world: StreamWorld) -> None:
    produce(stream_world, 6)
    first = stream_world.member()
    stream_world.read(first, 18)
    stream_world.commit(first, {stream_world.at(number): 6 for number in range(3)})
    assert first.take_revoked() == frozenset()
    second = stream_world.member()
    stream_world.settle_membership(first, second)
    revoked = first.take_revoked()
    assert 1 <= len(revoked) <= 2
    assert second.take_revoked() == frozenset()
    positions = produce(stream_world, 4, start=6)
    mine, theirs = stream_world.read_shared([first, second], 12)
    assert as_set(mine) | as_set(theirs) == positions
    assert {Partition(record.topic, record.partition) for record in theirs} == revoked
    assert first.take_revoked() == frozenset(), "reported once"
    stream_world.commit(first, {Partition(record.topic, record.partition): 10 for record in mine})
    first.rewind(dict.fromkeys(revoked, 0))  # owned by the other member now: no error, and nothing is read
    second.close(5.0)
    again = stream_world.read(first, len(theirs))  # at once, from the committed offsets
    assert as_set(again) == as_set(theirs)


@pytest.mark.parametrize("reset", ["earliest", "latest"])
def test_a_new_group_starts_at_auto_offset_reset(reset: str, stream_world: StreamWorld) -> None:
    before = produce(stream_world, 3)
    member = stream_world.member(auto_offset_reset=reset)
    if reset == "latest":
        stream_world.settle_membership(member)
        before.clear()
    positions = before | produce(stream_world, 1, start=3)
    assert as_set(stream_world.read(member, len(positions))) == positions


class _NotUtf8(str):
    """A header's name as a client in another language can send it."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return b"\xff\xfe"


def test_a_record_with_a_header_name_that_is_not_utf8_is_read(stream_world: StreamWorld) -> None:
    odd = make_record("odd", topic=stream_world.topic, headers=[(_NotUtf8("x"), b"v")])
    stream_world.produce(odd, make_record("next", topic=stream_world.topic, offset=1))
    assert [record.value for record in stream_world.read(stream_world.member(), 2)] == [b"odd", b"next"]
