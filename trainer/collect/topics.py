"""Reads topics once, from a time up to their current ends, without a group and without commits.

Owns the consumer, its bounds, and the translation of the client's errors. The ends are read before the first record,
so the read finishes although producers go on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from trainer.collect.settings import CollectSettings
from trainer.errors import StreamError

POLL_MS = 500
POLL_RECORDS = 2000
FETCH_BYTES = 8 * 1024 * 1024


class LogRecord(NamedTuple):
    """A record. `at_ms` is when it was written, 0 when the broker does not know."""

    topic: str
    partition: int
    offset: int
    at_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


def read_topics(settings: CollectSettings, since: datetime | None) -> Iterator[LogRecord]:
    """Yield every committed record of the topics from a time on, up to their current ends, each partition in order.

    Raises:
        StreamError: the brokers do not answer or refuse, or there is no such topic.
    """
    with _translated(settings):
        consumer = KafkaConsumer(**_config(settings))
    try:
        with _translated(settings):
            spans = _spans(consumer, settings.topic, since)
            first_ms = 0 if since is None else since.timestamp() * 1000
            for record in _read(consumer, spans, settings.patience_s):
                if record.at_ms >= first_ms or record.at_ms == 0:  # producers' times are in no order
                    yield record
    finally:
        with _translated(settings):
            consumer.close(autocommit=False)


def _spans(consumer: Any, topics: Sequence[str], since: datetime | None) -> dict[TopicPartition, tuple[int, int]]:
    """Return the first offset and the end of every partition that has records."""
    partitions = []
    for topic in topics:
        numbers = consumer.partitions_for_topic(topic)
        if not numbers:
            raise StreamError(f"--topic {topic}: no such topic, or no permission to read it")
        partitions += [TopicPartition(topic, number) for number in sorted(numbers)]
    starts, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
    if since is not None:
        asked = dict.fromkeys(partitions, max(0, round(since.timestamp() * 1000)))
        found = consumer.offsets_for_times(asked)
        starts = {at: ends[at] if found.get(at) is None else max(found[at].offset, starts[at]) for at in partitions}
    return {at: (starts[at], ends[at]) for at in partitions if starts[at] < ends[at]}


def _read(consumer: Any, spans: dict[TopicPartition, tuple[int, int]], patience_s: float) -> Iterator[LogRecord]:
    consumer.assign(list(spans))
    for at, (start, _) in spans.items():
        consumer.seek(at, start)
    open_ends = {at: end for at, (_, end) in spans.items()}
    positions = {at: start for at, (start, _) in spans.items()}
    heard_at = monotonic()
    while open_ends:
        polled = consumer.poll(timeout_ms=POLL_MS, max_records=POLL_RECORDS)
        for at, records in polled.items():
            end = open_ends.get(at, 0)
            for record in records:
                if record.offset < end:
                    at_ms = max(record.timestamp, 0)
                    yield LogRecord(
                        at.topic, at.partition, record.offset, at_ms, record.key, record.value, record.headers
                    )
        # A position also moves past the markers of transactions, which are not records.
        moved = {at: consumer.position(at) for at in open_ends}
        if any(moved[at] > positions[at] for at in moved):
            heard_at = monotonic()
        elif monotonic() - heard_at > patience_s:
            at, end = next(iter(open_ends.items()))
            raise StreamError(
                f"{at.topic}-{at.partition}: nothing came for {patience_s:g} s at offset {moved[at]} of {end}; "
                "is the broker up, or a transaction open?"
            )
        positions.update(moved)
        done = [at for at, position in moved.items() if position >= open_ends[at]]
        for at in done:
            del open_ends[at]
        if done:
            consumer.pause(*done)


def _config(settings: CollectSettings) -> dict[str, Any]:
    return {
        "bootstrap_servers": settings.bootstrap_servers,
        "client_id": "starstream-trainer",
        "group_id": None,
        "enable_auto_commit": False,
        "isolation_level": "read_committed",
        "allow_auto_create_topics": False,
        "max_partition_fetch_bytes": FETCH_BYTES,
        "bootstrap_timeout_ms": round(settings.patience_s * 1000),
        "security_protocol": settings.security_protocol,
        "sasl_mechanism": settings.sasl_mechanism,
        "sasl_plain_username": settings.sasl_username,
        "sasl_plain_password": _secret(settings.sasl_password_file),
        "ssl_cafile": _name(settings.ssl_cafile),
        "ssl_certfile": _name(settings.ssl_certfile),
        "ssl_keyfile": _name(settings.ssl_keyfile),
    }


def _secret(path: Path | None) -> str | None:
    try:
        return None if path is None else path.read_text(encoding="utf-8").removesuffix("\n")
    except OSError as error:
        raise StreamError(f"--sasl-password-file {path}: {error.strerror or error}") from error


def _name(path: Path | None) -> str | None:
    return None if path is None else str(path)


@contextmanager
def _translated(settings: CollectSettings) -> Iterator[None]:
    try:
        yield
    except KafkaError as error:
        servers = ",".join(settings.bootstrap_servers)
        raise StreamError(
            f"--bootstrap-servers {servers}: {str(error)[:300]}; is a broker up, and are "
            f"--security-protocol {settings.security_protocol} and the credentials right?"
        ) from error
