"""The brokers' ids of topics (KIP-516), which librdkafka's consumer does not tell: an admin client asks.

Owns when to ask again: a topic that was deleted and created again must not be locked out by its old offsets.
"""

from __future__ import annotations

from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Final
from uuid import UUID

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from worker.clock import Clock
from worker.confluent.client import Errors, client_config, translated
from worker.errors import TransientError
from worker.settings import WorkerSettings

_ASK_AGAIN_S: Final = 10.0
_BITS: Final = 2**64


class TopicIds:
    """Knows the present incarnation of each topic asked for.

    Args:
        settings: brokers and time-outs.
        clock: an answer is asked for again after a while.
    """

    def __init__(self, settings: WorkerSettings, *, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._ids: dict[str, str] = {}
        self._asked_at = 0.0
        self._admin: Any = None

    def forget(self) -> None:
        """Ask again at the next question: something hints that a topic is another one now."""
        self._ids.clear()

    def expire(self) -> None:
        """Ask again at the next question when the last answer is old."""
        if self._clock.monotonic() - self._asked_at >= _ASK_AGAIN_S:
            self.forget()

    def id_of(self, topic: str) -> str:
        """Return the id of a topic; `""` where there is none.

        Raises:
            ServiceError: the brokers do not answer.
        """
        known = self._ids.get(topic)
        if known is None:
            known = self._ids[topic] = self._ask(topic)
            self._asked_at = self._clock.monotonic()
        return known

    def _ask(self, topic: str) -> str:
        timeout_s = self._settings.request_timeout_s
        with translated(f"read the id of topic {topic}"):
            if self._admin is None:
                self._admin = AdminClient(client_config(self._settings, Errors()))
            future = self._admin.describe_topics(TopicCollection([topic]), request_timeout=timeout_s)[topic]
            try:
                found = future.result(timeout_s + 1).topic_id
            except FutureTimeoutError as error:
                raise TransientError("kafka", f"read the id of topic {topic}: no answer") from error
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    return ""
                raise
        high, low = found.get_most_significant_bits(), found.get_least_significant_bits()
        return str(UUID(int=(high % _BITS) << 64 | low % _BITS))
