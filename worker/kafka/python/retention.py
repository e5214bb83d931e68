"""How long a topic keeps a record by its own time.

A letter is sent back with the time of its original, and the brokers delete by that time: one that is older than its
topic's retention may be gone before a worker has read it. Owns the question; `dlq_letters.Guard` refuses.
"""

from __future__ import annotations

from typing import Final

from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from worker.kafka.python.client import client_config, translated
from worker.settings import WorkerSettings

_RETENTION: Final = "retention.ms"
_POLICY: Final = "cleanup.policy"
_TIME: Final = "message.timestamp.type"


def retention_ms(settings: WorkerSettings, topic: str) -> int | None:
    """Return how long a topic keeps records, None when for ever, by the brokers' time, or when we may not ask.

    Raises:
        ServiceError: the brokers do not answer.
    """
    asked = ConfigResource(ConfigResourceType.TOPIC, topic, configs=dict.fromkeys((_RETENTION, _POLICY, _TIME)))
    with translated(f"{topic}: look up its retention"):
        admin = KafkaAdminClient(**client_config(settings))
        try:
            found = admin.describe_configs([asked], config_filter="all")["topic"][topic]
        except (kafka_errors.TopicAuthorizationFailedError, kafka_errors.ClusterAuthorizationFailedError, KeyError):
            return None
        finally:
            admin.close()
    values = {name: found.get(name, {}).get("value") for name in (_RETENTION, _POLICY, _TIME)}
    kept_ms = int(values[_RETENTION] or -1)
    by_its_time = values[_TIME] != "LogAppendTime" and "delete" in (values[_POLICY] or "delete")
    return kept_ms if by_its_time and kept_ms >= 0 else None
