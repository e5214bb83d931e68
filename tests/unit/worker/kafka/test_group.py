"""Ownership of partitions, as either client reports it."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from worker.kafka.group import Ownership
from worker.ops.metrics import Metrics
from worker.records import Partition

ONE, TWO = Partition("t", 1), Partition("t", 2)


@pytest.fixture
def ownership() -> Ownership:
    return Ownership(Metrics(CollectorRegistry()))


def test_ownership_follows_the_group(ownership: Ownership) -> None:
    ownership.add([ONE, TWO])
    assert (ownership.joined, ownership.owned) == (True, {ONE, TWO})
    ownership.remove([ONE], "revoked")
    ownership.add([ONE])
    assert ownership.take_removed() == {ONE}, "also after it was assigned again"
    assert ownership.take_removed() == set()
    assert ownership.take_revoked() == {ONE}
    ownership.remove([ONE, TWO], "lost")
    assert not ownership.joined
    assert not ownership.owned
    assert ownership.take_revoked() == {ONE, TWO}


def test_a_member_with_an_empty_assignment_has_joined(ownership: Ownership) -> None:
    ownership.add([])
    assert ownership.joined


def test_partitions_that_were_assigned_under_another_member_id_are_kept(ownership: Ownership) -> None:
    ownership.add([ONE], "first")
    assert not ownership.kept("first")
    assert not ownership.kept(""), "it is no member now, and will lose them or join again"
    assert ownership.kept("second")
    ownership.remove([ONE], "lost")
    ownership.add([ONE, TWO], "second")
    assert not ownership.kept("second")
