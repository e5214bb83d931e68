"""What only a real broker can show of the source on kafka-python 3.0.12: joins that the client loses.

Each test reproduces a defect of the client that the adapter works around. When a release fixes one, remove the
work-around and keep the test.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from tests import PATIENCE_S
from tests.contract.test_source import produce
from tests.contract.worlds import KafkaStreamWorld, as_set
from tests.doubles import make_record
from tests.fixtures.joining import forget_a_join
from worker.kafka.python.source import KafkaSource
from worker.records import Record


@pytest.fixture
def world(python_world: KafkaStreamWorld) -> KafkaStreamWorld:
    return python_world


def joining(world: KafkaStreamWorld, **settings: Any) -> KafkaSource:
    member = world.member(**settings)
    assert isinstance(member, KafkaSource)
    return member


def work(seconds: float) -> None:
    """Take some time between polls, as the loop does when it rates a batch."""
    threading.Event().wait(seconds)


def read_busily(member: KafkaSource, count: int) -> list[Record]:
    """Poll briefly and work for longer, until `count` records have arrived."""
    found: list[Record] = []
    deadline = time.monotonic() + PATIENCE_S / 2
    while len(found) < count and time.monotonic() < deadline:
        found.extend(member.poll(100, 0.001))
        work(0.05)
    return found


def test_short_polls_with_work_in_between_join_the_group(world: KafkaStreamWorld) -> None:
    """The client throws away a join that was answered between two polls, and repeats it indefinitely."""
    positions = produce(world, 5)
    member = joining(world)
    assert as_set(read_busily(member, 15)) == positions
    assert member.membership().generation_id < 10


def test_a_rejoin_answered_between_two_polls_is_not_lost(world: KafkaStreamWorld) -> None:
    """The client forgets that it was rejoining, with its heartbeat off: it reads nothing more, without an error."""
    member = joining(world)
    world.settle_membership(member)
    world.admin.create_partitions({world.topic: 4})
    forget_a_join(member._consumer)
    world.produce(make_record("to the new partition", topic=world.topic, partition=3))
    assert as_set(world.read(member, 1)) == {(3, 0)}
    assert not member._consumer._coordinator.rejoining
