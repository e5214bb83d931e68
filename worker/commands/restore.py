"""`restore`: fills Redis again from the output topic, after it has lost its data. Workers may run meanwhile.

Owns how a record of that topic becomes an outcome again. The fence is the workers' own (`worker/redis/write.lua`): what
they have written since stays, and what is there is counted once. Nothing is rated, and no offset is committed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import groupby, islice
from types import SimpleNamespace

from prometheus_client import CollectorRegistry
from pydantic import ValidationError
from rich.console import Console

from schemas.rating import POSITION, SOURCE_HEADER, SourcePosition
from worker.backoff import Backoff
from worker.clock import Clock, SystemClock
from worker.errors import ExitCode, TransientError
from worker.kafka.offset_range import parse_bounds
from worker.kafka.python.topics import Topics
from worker.kafka.ratings_reader import RatingsReader
from worker.ops.metrics import Metrics
from worker.ops.progress import LongRun
from worker.ops.signals import StopSignals
from worker.records import Deleted, PlainRecord, Rated, Record
from worker.redis.store import RedisStore
from worker.settings import WorkerSettings

_CHUNK_RECORDS = 500
_AGE_STEP_S = 3600  # ratings of one call expire together, at most this much too late


def run(settings: WorkerSettings, known: SimpleNamespace) -> ExitCode:
    """Write every rating and deletion of the output topic, in its order; INTERRUPTED when stopped before the end.

    Raises:
        WorkerError: there is no such topic, the brokers do not answer, or Redis refuses. While Redis is away, it waits.
    """
    clock, console = SystemClock(), Console(stderr=True)
    bounds = parse_bounds(known.start, known.end, clock.wall())
    with StopSignals(settings.drain_deadline_s) as stop, closing(Topics(settings, clock)) as topics:
        spans = topics.spans(topics.require([settings.output_topic], "WORKER_OUTPUT_TOPIC"), *bounds)
        done = 0
        with (
            closing(Restorer(settings, clock, console, stop)) as restorer,
            LongRun(console, clock, "restoring", sum(span.size for span in spans.values())) as progress,
        ):
            for partition, span in spans.items():
                records = topics.read(partition, span)
                while not stop.asked and (chunk := list(islice(records, _CHUNK_RECORDS))):
                    restorer.write(chunk)
                    progress.update(done + chunk[-1].offset + 1 - span.start, f"from {settings.output_topic}")
                done += span.size
    ended = "stopped; the same command begins again and changes nothing twice: " if stop.asked else "restored: "
    console.print(ended + restorer.summary, markup=False, highlight=False, soft_wrap=True)
    return ExitCode.INTERRUPTED if stop.asked else ExitCode.OK


def outcome_of(record: Record, ratings: RatingsReader) -> Rated | Deleted | None:
    """Return what a worker had published as this record; None for a record of another program.

    Records of older builds have no source time, and their tombstones no source: the record's own stand in for them,
    because the records of a review are in order.
    """
    try:
        if record.value is not None:
            rating = ratings.read(record)
            return None if rating is None else Rated(_source(rating.source, record), rating)
        header = dict(record.headers).get(SOURCE_HEADER)
        at = POSITION.validate_json(header) if header else SourcePosition(record.topic, record.partition, record.offset)
        return Deleted(_source(at, record), record.key.decode()) if record.key else None
    except (ValidationError, UnicodeDecodeError):
        return None


def _source(at: SourcePosition, published: Record) -> PlainRecord:
    timestamp_ms = published.timestamp if at.timestamp_ms is None else at.timestamp_ms
    return PlainRecord(at.topic, at.partition, at.offset, timestamp_ms)


class Restorer(RedisStore):
    """Writes records of the output topic, each for the rest of its time to live; waits while Redis is away.

    The topic does not say which incarnation of an input topic a rating is of, so the ids are empty, and against a row
    of a worker the record's time decides.
    """

    def __init__(self, settings: WorkerSettings, clock: Clock, console: Console, stop: StopSignals) -> None:
        super().__init__(settings, metrics=Metrics(CollectorRegistry()), clock=clock, topic_id=lambda _topic: "")
        self._lifetime_s = settings.redis_ttl_s
        self._console = console
        self._ratings = RatingsReader(settings)
        self._stop = stop
        self._counts: Counter[str] = Counter()

    @property
    def summary(self) -> str:
        """How many records were what."""
        count = self._counts
        return (
            f"{count['written']} ratings and {count['deleted']} deletions written, {count['replayed']} were there, "
            f"{count['stale']} are newer in Redis, {count['expired']} have expired, {count['foreign']} are not ours"
        )

    def write(self, records: Sequence[Record]) -> None:
        """Write a chunk, unless stopped meanwhile."""
        now_ms = self._clock.wall() * 1000
        for hours, group in groupby(
            records, lambda record: max(0, int((now_ms - record.timestamp) / 1000)) // _AGE_STEP_S
        ):
            rows = [outcome_of(record, self._ratings) for record in group]
            outcomes = [row for row in rows if row is not None]
            self._counts["foreign"] += len(rows) - len(outcomes)
            left_s = self._lifetime_s - hours * _AGE_STEP_S
            if self._lifetime_s and left_s <= 0:
                self._counts["expired"] += len(outcomes)
                continue
            self._ttl_s = left_s if self._lifetime_s else 0
            self._counts.update(self._stored(outcomes))

    def _stored(self, outcomes: Sequence[Rated | Deleted]) -> Mapping[str, int]:
        backoff = Backoff()
        while not self._stop.asked:
            try:
                self.send(outcomes)
                return self.flush()
            except TransientError as error:
                self.abandon()
                if not backoff.attempts:
                    self._console.print(f"waiting: {error}", markup=False, highlight=False, soft_wrap=True)
                self._stop.wait(backoff.next_s())
        return {}
