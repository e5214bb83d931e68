"""The brokers' ids of the input topics (KIP-516). librdkafka's consumer does not expose them, so an admin client does.

Detects a topic that was deleted and created again. If it has enough records by then, librdkafka continues at its old
position without an error; so the ids are verified once a batch, before anything that was read is committed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from worker.errors import TransientError
from worker.kafka.confluent.client import CallbackErrors, translated
from worker.kafka.confluent.options import client_config
from worker.settings import WorkerSettings

_BITS: Final = 2**64
NO_ID: Final = str(UUID(int=0))  # of a broker before Kafka 2.8, also while the others are newer
_Asked = Mapping[str, Any]  # the answer to come, by topic
_DOING: Final = "read the ids of the input topics"
_GRACE_S: Final = 1.0  # for the client to report its own time-out


class TopicIds:
    """Knows the current id of each topic, and calls `on_recreated` with the name of one that was created again."""

    def __init__(self, settings: WorkerSettings, on_recreated: Callable[[str], None]) -> None:
        self._settings = settings
        self._on_recreated = on_recreated
        self._ids: dict[str, str] = {}
        self._verified = False
        self._asked: _Asked | None = None  # about the input topics
        self._admin: Any = None

    def mark_unverified(self) -> None:
        """Verify again before the next commit: something was read, perhaps from a topic created again."""
        self._verified, self._asked = False, None

    def ask(self) -> None:
        """Mark as unverified, and ask for the ids without waiting: records were read, which will be rated.

        `verify` takes the answer before anything of them is written; until then the brokers work while the loop rates.
        """
        self.mark_unverified()
        with suppress(TransientError):  # then `verify` asks
            self._asked = self._ask(self._settings.input_topics)

    def id_of(self, topic: str) -> str:
        """Return the id of a topic; `""` where there is none.

        Raises:
            ServiceError: the brokers do not answer, or an input topic was deleted or created again.
        """
        if not self._verified:
            self.verify()
        known = self._ids.get(topic)
        return self._fetch([topic])[topic] if known is None else known

    def verify(self) -> None:
        """Return if the input topics still have the ids they had.

        Raises:
            ServiceError: the brokers do not answer, or a topic was deleted or created again; do not commit.
        """
        if self._verified:
            return
        asked, self._asked = self._asked, None
        found = self._fetch(self._settings.input_topics) if asked is None else self._answers(asked)
        for topic, current in found.items():
            before = self._ids.get(topic)
            if before and current and NO_ID in (before, current):
                self._ids[topic] = before if current == NO_ID else current
                continue
            if before and not current:
                raise TransientError("kafka", f"WORKER_INPUT_TOPICS: {topic}: the topic was deleted; create it")
            self._ids[topic] = current
            if before and current != before:
                self._on_recreated(topic)
                raise TransientError("kafka", f"{topic}: deleted and created again; reading it from its beginning")
        self._verified = True

    def _fetch(self, topics: Sequence[str]) -> dict[str, str]:
        return self._answers(self._ask(topics))

    def _ask(self, topics: Sequence[str]) -> _Asked:
        with translated(_DOING):
            if self._admin is None:
                self._admin = AdminClient(client_config(self._settings, CallbackErrors()))
            timeout_s = self._settings.request_timeout_s
            asked: _Asked = self._admin.describe_topics(TopicCollection(list(topics)), request_timeout=timeout_s)
            return asked

    def _answers(self, asked: _Asked) -> dict[str, str]:
        with translated(_DOING):
            try:
                return {
                    topic: _id(answer, self._settings.request_timeout_s + _GRACE_S) for topic, answer in asked.items()
                }
            except FutureTimeoutError as error:
                raise TransientError("kafka", f"{_DOING}: no answer") from error


def _id(future: Any, timeout_s: float) -> str:
    try:
        found = future.result(timeout_s).topic_id
    except KafkaException as error:
        if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return ""
        raise
    high, low = found.get_most_significant_bits(), found.get_least_significant_bits()
    return str(UUID(int=(high % _BITS) << 64 | low % _BITS))
