"""Which Kafka client reads and publishes: the one place that knows there are two (WORKER_KAFKA_CLIENT).

Owns the choice. Each client is imported when it is chosen, so neither costs a worker of the other.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Protocol

from worker.clock import Clock
from worker.errors import SettingsError
from worker.kafka.outgoing import Commits
from worker.kafka.python.producer import Membership
from worker.ops.logs import Log
from worker.ops.metrics import Metrics
from worker.settings import WorkerSettings
from worker.stream.ports import Delivery, Source


class GroupSource(Source, Commits, Membership, Protocol):
    """A source that is a member of a consumer group: what the deliveries and the store ask of it besides."""

    def topic_id(self, topic: str) -> str:
        """Return the brokers' id of a topic's present incarnation; `""` where they tell none."""
        ...


def make_source(settings: WorkerSettings, *, instance_id: str | None, metrics: Metrics, clock: Clock) -> GroupSource:
    """Return a new member of the consumer group, on the client that the settings name.

    Raises:
        SettingsError: that client is not installed.
        ServiceError: the brokers do not answer or refuse.
    """
    if require_client(settings) == "confluent":
        from worker.kafka.confluent.source import ConfluentSource

        return ConfluentSource(settings, instance_id=instance_id, metrics=metrics, clock=clock)
    from worker.kafka.python.source import KafkaSource

    return KafkaSource(settings, instance_id=instance_id, metrics=metrics, clock=clock)


def make_delivery(settings: WorkerSettings, source: GroupSource, transactional_id: str, log: Log) -> Delivery:
    """Return the delivery that the settings name, on the client of the source.

    Args:
        settings: `delivery` says which.
        source: of `make_source`.
        transactional_id: this process's, the same after a restart; at-least-once needs none.
        log: tells of producers that had to be replaced.

    Raises:
        SettingsError: the client is not installed.
        ServiceError: the brokers do not answer or refuse.
    """
    if require_client(settings) == "confluent":
        from worker.kafka.confluent.producer import ConfluentAtLeastOnce, ConfluentExactlyOnce

        if settings.delivery == "at_least_once":
            return ConfluentAtLeastOnce(settings, source)
        return ConfluentExactlyOnce(settings, source, transactional_id, log)
    from worker.kafka.outgoing import AtLeastOnce
    from worker.kafka.python.producer import ExactlyOnce

    if settings.delivery == "at_least_once":
        return AtLeastOnce(settings, source)
    return ExactlyOnce(settings, source, transactional_id, log)


def require_client(settings: WorkerSettings) -> str:
    """Return the name of the client, if it is installed.

    Raises:
        SettingsError: it is not; the message names the package.
    """
    if settings.kafka_client == "confluent" and find_spec("confluent_kafka") is None:
        raise SettingsError(
            "WORKER_KAFKA_CLIENT=confluent: the package confluent-kafka is not installed; "
            "pip install confluent-kafka, or leave the variable at kafka-python"
        )
    return settings.kafka_client
