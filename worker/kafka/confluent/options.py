"""librdkafka's options from our settings: those that all clients share, the consumer's, the producer's.

Owns the names and the values. The measurements behind each option are in worker/DECISIONS.md, 17, and worker/LOG.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from worker.kafka.confluent.client import CallbackErrors
from worker.kafka.connection import path_text, sasl_mechanism, secret_text
from worker.kafka.tokens import make_tokens
from worker.settings import WorkerSettings

# A topic that is created or gets partitions while the worker runs is noticed after this time; the default is 5 minutes.
_METADATA_MS: Final = 10_000
# The client prefetches on its own thread. Its default queue of 64 MB or 100,000 records only costs memory.
_QUEUE_KB: Final = 4 * 1024
_QUEUE_RECORDS: Final = 10_000
_FETCH_BYTES: Final = 2 * 1024 * 1024
MOST_BYTES: Final = 2 * 1024 * 1024  # of a record to send
_FULL_QUEUE_MS: Final = 5  # until it checks a full queue again; the default of 1 s starves the loop


def consumer_config(
    settings: WorkerSettings, instance_id: str | None, errors: CallbackErrors, statistics: Callable[[str], None]
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
        **_group_options(settings),
        "max.poll.interval.ms": round(settings.max_poll_interval_s * 1000),
        "queued.max.messages.kbytes": _QUEUE_KB,
        "queued.min.messages": _QUEUE_RECORDS,
        "fetch.message.max.bytes": _FETCH_BYTES,
        "fetch.max.bytes": _FETCH_BYTES,
        "fetch.queue.backoff.ms": _FULL_QUEUE_MS,
        "fetch.error.backoff.ms": 100,
        "enable.partition.eof": True,  # the only way to learn a position past transaction markers
        "statistics.interval.ms": 1000,  # the only way to learn that a connection came back
        "stats_cb": statistics,
    }


def _group_options(settings: WorkerSettings) -> dict[str, Any]:
    """Return how the group divides its partitions; with KIP-848 the brokers do, and they own the session's times."""
    if settings.kafka_group_protocol == "consumer":
        return {"group.protocol": "consumer"}
    return {
        "group.protocol": "classic",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": round(settings.session_timeout_s * 1000),
        "heartbeat.interval.ms": round(settings.session_timeout_s * 1000 / 5),
    }


def producer_config(settings: WorkerSettings, transactional_id: str | None, errors: CallbackErrors) -> dict[str, Any]:
    """Return the producer's options: idempotent, acknowledged by all replicas, partitions as in the Java client."""
    config: dict[str, Any] = {
        **client_config(settings, errors),
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",  # as kafka-python and Java: a review's ratings stay in one partition
        "linger.ms": 500,  # records wait for `flush`, unless they fill a record batch
        "queue.buffering.max.messages": 200_000,
        "retry.backoff.ms": 10,  # the default of 100 ms causes tails of 100 ms
        "message.max.bytes": MOST_BYTES,
        "message.timeout.ms": round(settings.request_timeout_s * 1000) + 2000,
        # Longest wait for a topic that does not exist; `ping` reports it.
        "topic.metadata.propagation.max.ms": round(min(settings.request_timeout_s, 2.0) * 1000),
    }
    if transactional_id is not None:
        limit_ms = round(settings.transaction_timeout_s * 1000)  # the client allows no wait beyond it
        config |= {
            "transactional.id": transactional_id,
            "linger.ms": 1,  # records leave while Redis works; with 500 most would leave at the commit (LOG.md, 12)
            "transaction.timeout.ms": limit_ms,
            "message.timeout.ms": min(config["message.timeout.ms"], limit_ms),
            "socket.timeout.ms": min(config["socket.timeout.ms"], limit_ms),
        }
    return config


def client_config(settings: WorkerSettings, errors: CallbackErrors) -> dict[str, Any]:
    """Return the options that consumer, producer and admin client share."""
    config: dict[str, Any] = {
        "bootstrap.servers": ",".join(settings.kafka_bootstrap_servers),
        "client.id": settings.kafka_client_id,
        "socket.timeout.ms": round(settings.request_timeout_s * 1000),
        "reconnect.backoff.max.ms": 1000,
        "client.dns.lookup": settings.kafka_dns_lookup,
        "connections.max.idle.ms": round(settings.kafka_connections_max_idle_s * 1000),  # 0: never
        "topic.metadata.refresh.interval.ms": _METADATA_MS,
        "allow.auto.create.topics": False,
        "error_cb": errors.note,
        "logger": logging.getLogger("kafka"),  # silenced by `worker.ops.logs`: the loop logs each outage once
        "security.protocol": settings.kafka_security_protocol,
        "ssl.endpoint.identification.algorithm": "https" if settings.kafka_ssl_check_hostname else "none",
        **_without_none(
            {
                "client.rack": settings.kafka_rack,
                "sasl.mechanism": sasl_mechanism(settings),
                "sasl.username": settings.kafka_sasl_username,
                "sasl.password": secret_text(settings.kafka_sasl_password),
                "ssl.ca.location": path_text(settings.kafka_ssl_cafile),
                "ssl.certificate.location": path_text(settings.kafka_ssl_certfile),
                "ssl.key.location": path_text(settings.kafka_ssl_keyfile),
                "ssl.key.password": secret_text(settings.kafka_ssl_password),
            }
        ),
    }
    tokens = make_tokens(settings)
    if tokens is not None:
        tokens.current()  # now, because the client would wait ten seconds and call it a wrong credential
        config["oauth_cb"] = lambda _config: errors.token(tokens)
    return config


def _without_none(options: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in options.items() if value is not None}
