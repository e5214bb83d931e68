"""librdkafka's options from our settings: what all clients share, the consumer's, the producer's.

Owns the names and the numbers. The figures behind each option are in worker/DECISIONS.md, 17, and worker/LOG.md.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from worker.kafka.confluent.client import Errors
from worker.kafka.connection import path_text, revealed
from worker.settings import WorkerSettings

_METADATA_MS: Final = 10_000  # a topic created late, or grown, is read after so long; the default is 5 minutes
_TOKEN_LIFE_S: Final = 3600.0  # of a token, which the settings do not tell: the same one is handed out again by then
# The client fetches ahead on its own thread. A queue of its default 64 MB, or 100,000 records, is memory for nothing.
_QUEUE_KB: Final = 4 * 1024
_QUEUE_RECORDS: Final = 10_000
_FETCH_BYTES: Final = 2 * 1024 * 1024
_FULL_QUEUE_MS: Final = 5  # then it looks again whether there is room; its default of 1 s starves the loop


def consumer_config(
    settings: WorkerSettings, instance_id: str | None, errors: Errors, statistics: Callable[[str], None]
) -> dict[str, Any]:
    """Return the consumer's options."""
    static = {} if instance_id is None else {"group.instance.id": instance_id}
    return {
        **client_config(settings, errors),
        **static,
        "group.id": settings.group_id,
        "auto.offset.reset": settings.auto_offset_reset,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "isolation.level": "read_committed",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": round(settings.session_timeout_s * 1000),
        "heartbeat.interval.ms": round(settings.session_timeout_s * 1000 / 5),
        "max.poll.interval.ms": round(settings.max_poll_interval_s * 1000),
        "queued.max.messages.kbytes": _QUEUE_KB,
        "queued.min.messages": _QUEUE_RECORDS,
        "fetch.message.max.bytes": _FETCH_BYTES,
        "fetch.max.bytes": _FETCH_BYTES,
        "fetch.queue.backoff.ms": _FULL_QUEUE_MS,
        "fetch.error.backoff.ms": 100,
        "enable.partition.eof": True,  # the only word of a position behind the markers of transactions
        "statistics.interval.ms": 1000,  # the only word of a connection that came back
        "stats_cb": statistics,
    }


def producer_config(settings: WorkerSettings, transactional_id: str | None, errors: Errors) -> dict[str, Any]:
    """Return the producer's options: idempotent, acknowledged by all replicas, partitions as the Java client's."""
    config: dict[str, Any] = {
        **client_config(settings, errors),
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",  # as kafka-python and Java: a review's ratings stay in one partition
        "linger.ms": 500,  # nothing leaves before `flush` or `commit_transaction`
        "queue.buffering.max.messages": 200_000,
        "retry.backoff.ms": 10,  # the default of 100 ms makes tails of 100 ms
        "message.max.bytes": 2 * 1024 * 1024,
        "message.timeout.ms": round(settings.request_timeout_s * 1000) + 2000,
        # Longest wait for a topic nobody knows; one that is away is said by `ping`, over and over.
        "topic.metadata.propagation.max.ms": round(min(settings.request_timeout_s, 2.0) * 1000),
    }
    if transactional_id is not None:
        limit_ms = round(settings.transaction_timeout_s * 1000)  # the client allows no wait beyond it
        config |= {
            "transactional.id": transactional_id,
            "transaction.timeout.ms": limit_ms,
            "message.timeout.ms": min(config["message.timeout.ms"], limit_ms),
            "socket.timeout.ms": min(config["socket.timeout.ms"], limit_ms),
        }
    return config


def client_config(settings: WorkerSettings, errors: Errors) -> dict[str, Any]:
    """Return the options that consumer, producer and admin client share."""
    config: dict[str, Any] = {
        "bootstrap.servers": ",".join(settings.kafka_bootstrap_servers),
        "client.id": settings.kafka_client_id,
        "socket.timeout.ms": round(settings.request_timeout_s * 1000),
        "reconnect.backoff.max.ms": 1000,
        "topic.metadata.refresh.interval.ms": _METADATA_MS,
        "allow.auto.create.topics": False,
        "error_cb": errors.note,
        "logger": logging.getLogger("kafka"),  # which `worker.ops.logs` quiets: the loop says each outage once
        "security.protocol": settings.kafka_security_protocol,
        "ssl.endpoint.identification.algorithm": "https" if settings.kafka_ssl_check_hostname else "none",
        **_given(
            {
                "sasl.mechanism": settings.kafka_sasl_mechanism,
                "sasl.username": settings.kafka_sasl_username,
                "sasl.password": revealed(settings.kafka_sasl_password),
                "ssl.ca.location": path_text(settings.kafka_ssl_cafile),
                "ssl.certificate.location": path_text(settings.kafka_ssl_certfile),
                "ssl.key.location": path_text(settings.kafka_ssl_keyfile),
                "ssl.key.password": revealed(settings.kafka_ssl_password),
            }
        ),
    }
    token = settings.kafka_oauth_token
    if token is not None and settings.kafka_sasl_mechanism == "OAUTHBEARER":
        config["oauth_cb"] = lambda _config: (token.get_secret_value(), time.time() + _TOKEN_LIFE_S)
    return config


def _given(options: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in options.items() if value is not None}
