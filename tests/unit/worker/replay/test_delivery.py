"""A replay's delivery: dead letters are counted, not sent."""

from __future__ import annotations

import pytest

from tests.doubles import commit, make_rated, make_record
from tests.fixtures.world import KAFKA_GONE, SETTINGS, World
from worker.errors import TransientError
from worker.records import Deleted, Outcome, Partition
from worker.replay.delivery import ReplayDelivery
from worker.stream.rejection import rejected

ONE = Partition("reviews", 0)


def test_dead_letters_are_counted_and_not_sent() -> None:
    world = World()
    world.source.poll(1, 0)
    inner, cluster = world.delivery, world.cluster
    delivery = ReplayDelivery(inner, {ONE: 0})
    record = make_record()
    batch: list[Outcome] = [make_rated(), Deleted(record, "r2"), rejected(record, "unratable", "", model_version="v1")]
    inner.faults.then(KAFKA_GONE)
    with pytest.raises(TransientError):
        commit(delivery, batch, {ONE: 3})
    assert (delivery.committed, delivery.outcomes.total()) == ({ONE: 0}, 0)
    commit(delivery, batch, {ONE: 3})
    assert delivery.committed == {ONE: 3} == inner.commits[0]
    assert delivery.outcomes == {"rated": 1, "deleted": 1, "rejected": 1}
    assert delivery.reasons == {"unratable": 1}
    assert len(cluster.all_records(SETTINGS.output_topic)) == 2
    assert cluster.all_records(SETTINGS.dead_letter_topic) == []
