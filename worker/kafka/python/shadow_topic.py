"""Publishes a shadow model's ratings, for comparison (WORKER_SHADOW_TOPIC).

Owns its thread. It is part of no transaction and cannot delay or fail a batch: ratings wait in a bounded
queue, and those that do not fit are dropped.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Sequence
from typing import Final

from schemas.rating import CONTENT_TYPE
from worker.backoff import Backoff
from worker.kafka.outgoing import Outgoing
from worker.kafka.python.sender import Sender
from worker.ops.logs import Log
from worker.ops.metrics import Metrics
from worker.records import Rated
from worker.settings import WorkerSettings

_QUEUE_BATCHES: Final = 64


class ShadowTopic:
    """Publishes the shadow model's ratings from its own thread, at most once, and counts those that are not."""

    def __init__(self, settings: WorkerSettings, topic: str, metrics: Metrics, log: Log) -> None:
        self._settings = settings
        self._topic = topic
        self._errors = metrics.models.shadow_errors
        self._log = log
        self._queue: queue.Queue[Sequence[Rated]] = queue.Queue(_QUEUE_BATCHES)
        self._sender: Sender | None = None

    def publish(self, ratings: Sequence[Rated]) -> None:
        """Queue ratings to publish; drop them when the queue is full. Never blocks or raises."""
        try:
            self._queue.put_nowait(ratings)
        except queue.Full:
            self._errors.labels("dropped").inc(len(ratings))

    def start(self, stop: threading.Event) -> None:
        """Publish from a daemon thread until `stop`."""
        threading.Thread(target=self._run, args=(stop,), name="shadow-topic", daemon=True).start()

    def _run(self, stop: threading.Event) -> None:
        backoff = Backoff()
        while not stop.is_set():
            try:
                ratings = self._queue.get(timeout=0.5)
            except queue.Empty:
                continue
            try:
                self._send(ratings)
                backoff.reset()
            except Exception as error:  # noqa: BLE001  (a thread that dies would say nothing)
                self._errors.labels("topic").inc(len(ratings))
                self._log(logging.WARNING, "shadow_topic_failed", reason=str(error), dropped=len(ratings))
                sender, self._sender = self._sender, None
                if sender is not None:
                    sender.close()
                stop.wait(backoff.next_s())

    def _send(self, ratings: Sequence[Rated]) -> None:
        if self._sender is None:
            self._sender = Sender(self._settings)
        headers = [("content-type", CONTENT_TYPE)]
        for rated in ratings:
            record = Outgoing(self._topic, rated.fields.review_id.encode(), rated.value, headers, None)
            self._sender.send(record, f"WORKER_SHADOW_TOPIC={self._topic}")
        self._sender.flush()
