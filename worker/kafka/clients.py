"""Makes the source, the delivery and the producer on the Kafka client that WORKER_KAFKA_CLIENT names.

Owns that choice for the stream. Shadow and feedback topics, and commands that look at topics, use kafka-python,
whichever is chosen. Imports a client only when it is chosen. Each function raises `SettingsError` when the client is
not installed, and those that connect `ServiceError` when the brokers do not answer or refuse.
"""

from __future__ import annotations

import threading
from contextlib import closing
from functools import partial
from importlib.util import find_spec

from worker.clock import Clock, SystemClock
from worker.errors import SettingsError
from worker.kafka.delivery import AtLeastOnce, ExactlyOnce
from worker.kafka.group import GroupSource
from worker.kafka.group_lag import GroupLag, OffsetReader
from worker.kafka.outgoing import Producer, RatingForm
from worker.ops.health import Health
from worker.ops.logs import Log
from worker.ops.metrics import Metrics
from worker.settings import WorkerSettings
from worker.stream.ports import Delivery


def make_source(settings: WorkerSettings, *, instance_id: str | None, metrics: Metrics, clock: Clock) -> GroupSource:
    """Return a new member of the consumer group, on the client that the settings name."""
    if require_client(settings) == "confluent":
        from worker.kafka.confluent.source import ConfluentSource

        return ConfluentSource(settings, instance_id=instance_id, metrics=metrics, clock=clock)
    from worker.kafka.python.source import KafkaSource

    return KafkaSource(settings, instance_id=instance_id, metrics=metrics, clock=clock)


def watch_lag(
    settings: WorkerSettings,
    source: GroupSource,
    stop: threading.Event,
    *,
    clock: Clock,
    metrics: Metrics,
    health: Health,
    log: Log,
) -> None:
    """Set the metrics of the group's lag, from a thread, until `stop`.

    Raises:
        SettingsError: the client is not installed.
    """
    reader: OffsetReader
    if require_client(settings) == "confluent":
        from worker.kafka.confluent.group_offsets import ConfluentOffsetReader

        reader = ConfluentOffsetReader(settings)
    else:
        from worker.kafka.python.group_offsets import PythonOffsetReader

        reader = PythonOffsetReader(settings)
    GroupLag(reader, settings, source.ownership, clock=clock, metrics=metrics, health=health, log=log).start(stop)


def group_members(settings: WorkerSettings) -> dict[str, int]:
    """Return how many partitions each member of the group has, by the member's id and host."""
    if require_client(settings) == "confluent":
        from worker.kafka.confluent.group_members import group_members as members

        return members(settings)
    from worker.kafka.python.topics import Topics

    with closing(Topics(settings, SystemClock())) as topics:
        return topics.members(settings.group_id)


def make_delivery(
    settings: WorkerSettings, source: GroupSource, transactional_id: str, *, log: Log, clock: Clock
) -> Delivery:
    """Return the delivery that the settings name, on the client of the source.

    The transactional id is this process's, the same after a restart; at-least-once does not use it.
    """
    form = _rating_form(settings)
    if settings.delivery == "at_least_once":
        return AtLeastOnce(settings, source, partial(make_producer, settings, None), log, form)
    make = partial(make_producer, settings, transactional_id)
    return ExactlyOnce(settings, source, make, log=log, clock=clock, rating_form=form)


def _rating_form(settings: WorkerSettings) -> RatingForm | None:
    """Return how ratings are written; None: as JSON."""
    form = settings.output_format
    if form == "json":
        return None
    if form == "avro" or form == "json_schema":  # noqa: PLR1714 - mypy narrows this
        from worker.kafka.registry.client import SchemaRegistry
        from worker.kafka.registry.encoder import RatingEncoder

        return RatingEncoder(form, SchemaRegistry(settings), settings.output_topic)
    from worker.kafka.cloud_events import CloudEvents

    return CloudEvents(structured=form == "cloudevents_structured")


def make_producer(settings: WorkerSettings, transactional_id: str | None, batch_bytes: int) -> Producer:
    """Return a new producer of the client that the settings name, with record batches of up to so many bytes."""
    if require_client(settings) == "confluent":
        from worker.kafka.confluent.producer import ConfluentProducer

        return ConfluentProducer(settings, transactional_id, batch_bytes)
    from worker.kafka.python.producer import PythonProducer

    return PythonProducer(settings, transactional_id, batch_bytes)


def require_client(settings: WorkerSettings) -> str:
    """Return the name of the client, if it is installed.

    Raises:
        SettingsError: it is not installed; the message names the package.
    """
    if settings.kafka_client == "confluent" and find_spec("confluent_kafka") is None:
        raise SettingsError(
            "WORKER_KAFKA_CLIENT=confluent: the package confluent-kafka is not installed; "
            "install the extra `confluent`, or leave the variable at kafka-python"
        )
    return settings.kafka_client
