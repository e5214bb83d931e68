"""The brokers' ids of the input topics (KIP-516), which librdkafka's consumer does not tell: an admin client asks.

Owns the question whether a topic is still the one it was. librdkafka reads on at its old position in a topic that was
deleted and created again, when there are records enough by then, and says nothing; so nothing that was read is settled
before the brokers have named the same topic again, once a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Final
from uuid import UUID

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from worker.errors import TransientError
from worker.kafka.confluent.client import Errors, translated
from worker.kafka.confluent.options import client_config
from worker.settings import WorkerSettings

_BITS: Final = 2**64
_GRACE_S: Final = 1.0  # for the client's own time-out to be told


class TopicIds:
    """Knows the present incarnation of each topic.

    Args:
        settings: brokers, input topics and time-outs.
        on_another: told the name of a topic that is another one now.
    """

    def __init__(self, settings: WorkerSettings, on_another: Callable[[str], None]) -> None:
        self._settings = settings
        self._on_another = on_another
        self._ids: dict[str, str] = {}
        self._sure = False
        self._admin: Any = None

    def doubt(self) -> None:
        """Records came: they may be another topic's."""
        self._sure = False

    def id_of(self, topic: str) -> str:
        """Return the id of a topic; `""` where there is none.

        Raises:
            ServiceError: the brokers do not answer, or an input topic is not the one it was.
        """
        if not self._sure:
            self.verify()
        known = self._ids.get(topic)
        return self._ask([topic])[topic] if known is None else known

    def verify(self) -> None:
        """Return if the input topics are those that were read so far.

        Raises:
            ServiceError: the brokers do not answer, or one is another, or gone; nothing read may be settled.
        """
        if self._sure:
            return
        for topic, now in self._ask(self._settings.input_topics).items():
            before = self._ids.get(topic)
            if before and not now:
                raise TransientError("kafka", f"WORKER_INPUT_TOPICS: {topic}: no such topic any more; create it")
            self._ids[topic] = now
            if before and now != before:
                self._on_another(topic)
                raise TransientError("kafka", f"{topic}: deleted and created again; reading it from its beginning")
        self._sure = True

    def _ask(self, topics: Sequence[str]) -> dict[str, str]:
        timeout_s = self._settings.request_timeout_s
        doing = "read the ids of the input topics"
        with translated(doing):
            if self._admin is None:
                self._admin = AdminClient(client_config(self._settings, Errors()))
            asked = self._admin.describe_topics(TopicCollection(list(topics)), request_timeout=timeout_s)
            try:
                return {topic: _id(future, timeout_s + _GRACE_S) for topic, future in asked.items()}
            except FutureTimeoutError as error:
                raise TransientError("kafka", f"{doing}: no answer") from error


def _id(future: Any, timeout_s: float) -> str:
    try:
        found = future.result(timeout_s).topic_id
    except KafkaException as error:
        if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return ""
        raise
    high, low = found.get_most_significant_bits(), found.get_least_significant_bits()
    return str(UUID(int=(high % _BITS) << 64 | low % _BITS))
