"""A real Apache Kafka broker on loopback, and a stand-in for machines without Java.

`LocalKafka` is for tests, chaos, benchmarks, `make demo` and `make kafka`; `deploy.kafka.embedded` holds the
stand-in. Never used in production, never imported by the worker, the trainer or the schemas.
"""

from deploy.kafka.broker import LocalKafka
from deploy.kafka.errors import DownloadFailed, KafkaUnavailable, TopicsFailed

__all__ = ["DownloadFailed", "KafkaUnavailable", "LocalKafka", "TopicsFailed"]
