"""What the worker does with topics, the group and transactional ids, and whether its Kafka user may.

Owns that table; deploy/README.md shows it, and a test holds the two together. `check` tries every right without
disturbing anything: topics say what is allowed (KIP-430), the group is asked by a member that it does not have, and the
transaction is opened under an id of its own.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, Final

from kafka import TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient
from kafka.protocol.consumer import HeartbeatRequest

from worker.clock import SystemClock
from worker.errors import PermanentError
from worker.kafka.connection import connection_hint
from worker.kafka.python.client import client_config, make_client, translated
from worker.kafka.python.producer import BoundedProducer, close_failed, producer_config
from worker.settings import WorkerSettings

# The settings that name topics, and what `run` does with those.
TOPICS: Final[Mapping[str, str]] = {
    "input_topics": "READ",
    "output_topic": "WRITE",
    "dead_letter_topic": "WRITE",
    "shadow_topic": "WRITE",
    "feedback_topic": "READ",
}
_MISSING: Final = {"error_code": kafka_errors.UnknownTopicOrPartitionError.errno, "authorized_operations": None}
# While the brokers choose a group's coordinator, or it starts.
_LATER: Final = (
    kafka_errors.CoordinatorNotAvailableError,
    kafka_errors.CoordinatorLoadInProgressError,
    kafka_errors.NotCoordinatorError,
)
_RETRY_S: Final = 0.2


def require_kafka_rights(settings: WorkerSettings) -> None:
    """Try every right that `run` needs.

    Raises:
        PermanentError: rights are missing, and the message names all of them; or a topic does not exist.
        ServiceError: the brokers do not answer.
    """
    with translated(connection_hint(settings)):
        admin: Any = make_client(KafkaAdminClient, client_config(settings))
    with closing(admin), translated("try the rights"):
        missing = [*_of_topics(admin, settings), *_of_group(admin, settings)]
    if settings.delivery == "exactly_once":
        missing += _of_transactions(settings)
    if missing:
        raise PermanentError("kafka", f"the worker's user has no right to {', '.join(missing)}")


def _of_topics(admin: Any, settings: WorkerSettings) -> Iterator[str]:
    wanted: dict[str, tuple[str, str]] = {}
    for field, operation in TOPICS.items():
        named = getattr(settings, field)
        for topic in named if isinstance(named, list) else filter(None, [named]):
            wanted[topic] = (f"WORKER_{field.upper()}", operation)
    described = {found["name"]: found for found in admin.describe_topics(list(wanted))}
    for topic, (variable, operation) in wanted.items():
        found = described.get(topic, _MISSING)
        error = kafka_errors.for_code(found["error_code"])
        if error is kafka_errors.UnknownTopicOrPartitionError:
            raise PermanentError("kafka", f"{variable}: {topic}: no such topic; create it")
        allowed = found["authorized_operations"]  # None from brokers before 2.3
        if error is kafka_errors.TopicAuthorizationFailedError or (allowed is not None and operation not in allowed):
            yield f"{operation} topic {topic}"


def _of_group(admin: Any, settings: WorkerSettings) -> Iterator[str]:
    group, clock = settings.group_id, SystemClock()
    until = clock.monotonic() + settings.request_timeout_s
    while True:
        try:
            admin.list_group_offsets({group: [TopicPartition(settings.input_topics[0], 0)]})
            answer = admin._manager.run(_heartbeat, admin, group)
            error = kafka_errors.for_code(answer.error_code)
        except (kafka_errors.GroupAuthorizationFailedError, *_LATER) as refused:
            error = type(refused)
        if error not in _LATER or clock.monotonic() >= until:
            break
        clock.sleep(_RETRY_S)
    if error is kafka_errors.GroupAuthorizationFailedError:
        yield f"READ group {group}"
    elif error in _LATER:
        raise error(f"the group {group} has no coordinator")


async def _heartbeat(admin: Any, group: str) -> Any:
    """Send a heartbeat of a member that the group does not have: refused either way, but not in the same words."""
    (coordinator,) = set((await admin._find_coordinator_ids([group])).values())
    request = HeartbeatRequest(group_id=group, generation_id=0, member_id="starstream-check", group_instance_id=None)
    return await admin._manager.send(request, node_id=coordinator)


def _of_transactions(settings: WorkerSettings) -> Iterator[str]:
    # One name for each host, so that the brokers do not remember one for each check.
    config = {**producer_config(settings), "transactional_id": f"{settings.group_id}-check-{socket.gethostname()}"}
    with translated("try the rights"):
        producer: BoundedProducer = make_client(BoundedProducer, config)
        try:
            producer.init_transactions()
        except kafka_errors.TransactionalIdAuthorizationFailedError:
            yield f"WRITE transactional ids that begin with {settings.group_id}-"
        finally:
            close_failed(producer)
