"""The differences between the Kafka clients that the launcher must know to put the same fault into either.

Owns a librdkafka producer with methods that can be replaced (the client's own are C), and an error of both clients.
"""

from __future__ import annotations

from typing import Any

import confluent_kafka
import kafka

import worker.kafka.confluent.producer
from worker.errors import TransientError
from worker.kafka.confluent.assignment import require_member
from worker.kafka.confluent.source import ConfluentSource
from worker.kafka.python.source import KafkaSource


class OpenProducer(confluent_kafka.Producer):
    """The same producer, with methods in Python."""

    def send_offsets_to_transaction(self, *args: Any) -> Any:
        """Put offsets into the transaction."""
        return super().send_offsets_to_transaction(*args)

    def commit_transaction(self, *args: Any) -> Any:
        """Commit the transaction."""
        return super().commit_transaction(*args)


worker.kafka.confluent.producer.Producer = OpenProducer  # type: ignore[attr-defined]


class LostAnswer(kafka.errors.KafkaConnectionError, confluent_kafka.KafkaException):  # type: ignore[misc]
    """An error of either client for a connection that broke before the answer arrived."""


def lost_answer() -> Exception:
    """Return the error for a lost answer; both adapters translate it."""
    error = LostAnswer("the answer was lost")
    error.args = (confluent_kafka.KafkaError(confluent_kafka.KafkaError._TRANSPORT, "the answer was lost"),)
    return error


def is_evicted(source: KafkaSource | ConfluentSource) -> bool:
    """Return whether the client knows that it is no longer a member of the group."""
    if isinstance(source, KafkaSource):
        return bool(source._consumer.group_metadata().generation_id < 0)
    try:
        require_member(source._consumer.consumer_group_metadata(), "")
    except TransientError:
        return True
    return False
