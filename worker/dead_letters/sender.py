"""Sends dead letters as what they were: key, value, time and headers of the original, and the count of attempts.

Owns the producer of a replay: acknowledged by all replicas, idempotent, waited for in lots, so that what is in flight
is bounded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Set
from contextlib import contextmanager
from typing import Any, Final

from kafka import KafkaProducer

from worker.dead_letters.letter import Letter, replay_headers
from worker.kafka.outgoing import producer_config
from worker.kafka.python.client import translated
from worker.settings import WorkerSettings

_LOT_LETTERS: Final = 500
_CLOSE_S: Final = 5.0


@contextmanager
def open_sender(settings: WorkerSettings, *, as_of_now: bool) -> Iterator[Sender]:
    """Make a sender, and give its client back at the end.

    Raises:
        ServiceError: the brokers do not answer or refuse.
    """
    with translated("connect"):
        producer = KafkaProducer(**producer_config(settings))
    try:
        yield Sender(producer, settings.request_timeout_s, as_of_now=as_of_now)
    finally:
        with translated("close"):
            producer.close(timeout=_CLOSE_S)


class Sender:
    """Sends letters and waits for each lot's acknowledgements.

    Args:
        producer: of `sinks.topic.producer_config`.
        timeout_s: longest wait for a lot.
        as_of_now: send them with the present time instead of the original's.
    """

    def __init__(self, producer: KafkaProducer, timeout_s: float, *, as_of_now: bool) -> None:
        self._producer = producer
        self._as_of_now = as_of_now
        self._timeout_s = timeout_s
        self._open: list[tuple[Letter, str, Any]] = []

    @property
    def full(self) -> bool:
        """Whether it is time to wait."""
        return len(self._open) >= _LOT_LETTERS

    def send(self, letter: Letter, topic: str, partitions: Set[int]) -> None:
        """Send a letter; the one partition that may not be chosen by its key is the one it came from."""
        record = letter.record
        home = letter.partition if topic == letter.topic and letter.partition in partitions else None
        with self._told_where(letter):
            future = self._producer.send(
                topic,
                record.value,
                record.key,
                headers=replay_headers(letter),
                partition=home,
                timestamp_ms=letter.time_ms if letter.time_ms >= 0 and not self._as_of_now else None,
            )
        self._open.append((letter, topic, future))

    def settle(self) -> Counter[str]:
        """Wait until all that was sent is acknowledged; return how many letters went to each topic.

        Raises:
            ServiceError: some of it is not; says from which letter on.
        """
        if not self._open:
            return Counter()
        with self._told_where(self._open[0][0]):
            self._producer.flush(timeout=self._timeout_s)
        for letter, _, future in self._open:
            if future.exception is not None:
                with self._told_where(letter):
                    raise future.exception
        sent = Counter(topic for _, topic, _ in self._open)
        self._open.clear()
        return sent

    def _told_where(self, letter: Letter) -> Any:
        at = letter.record
        return translated(
            f"letter {letter.place} may not have been sent: go on with --partition {at.partition} --from {at.offset}, "
            "then with the partitions after it"
        )
