"""Two processes with one name: the brokers let them fence each other without end, so a worker says so and ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.contract.worlds import KafkaStreamWorld
from tests.doubles import commit, make_rated
from tests.fixtures.paused import Paused
from tests.fixtures.shared_kafka import SharedKafka
from worker.errors import ExitCode, FencedError, ProducerFencedError, TransientError


@pytest.fixture(params=["kafka-python", "confluent"])
def world(request: pytest.FixtureRequest, kafka: SharedKafka) -> Iterator[KafkaStreamWorld]:
    made = KafkaStreamWorld(kafka, "exactly_once", request.param)
    made.create(made.topic, made.output_topic, made.dead_letter_topic)
    yield made
    made.close()


@pytest.mark.parametrize("world", ["confluent"], indirect=True)
def test_a_fence_that_is_reported_while_it_sends_is_called_one(
    world: KafkaStreamWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.kafka.confluent.producer.Producer", Paused)
    member = world.member()
    world.settle_membership(member)
    first = world.delivery(member)
    commit(first, [make_rated()], {})
    world.delivery(member)  # it fences the first
    with pytest.raises(ProducerFencedError):
        first.prepare([make_rated(f"r{number}") for number in range(300)], {})


def test_repeated_fencing_names_the_setting_and_ends_with_exit_code_7(world: KafkaStreamWorld) -> None:
    member = world.member()
    world.settle_membership(member)
    twins = [world.delivery(member) for _ in range(2)]  # the second fences the first

    def settle_in_turns() -> None:
        """As two loops do: fail, and try again with a new producer."""
        for delivery in twins * 10:
            with suppress(TransientError):
                commit(delivery, [make_rated()], {})
            commit(delivery, [make_rated()], {})

    with pytest.raises(FencedError, match="WORKER_INSTANCE_ID") as caught:
        settle_in_turns()
    assert caught.value.exit_code is ExitCode.FENCED
    assert world.log.names.count("transaction_failed") <= 6
