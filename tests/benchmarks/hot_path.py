"""`python -m tests.benchmarks.hot_path`: what each step of the worker's own code costs a review, without any service.

It shows in ten seconds what a change of a step does; the table of `make bench` is what counts. Processor
time, the best of several passes over batches as large as the worker's, with the collector as the worker sets it.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from kafka import TopicPartition
from prometheus_client import CollectorRegistry

from schemas.channels import STABLE
from tests.benchmarks.corpus import ROOT, CorpusError, read_corpus
from tests.benchmarks.machine import this_machine
from tests.doubles import make_record
from worker.clock import SystemClock
from worker.errors import ModelError
from worker.kafka.outgoing import OutgoingForm
from worker.kafka.python.partitioner import partitions_of
from worker.kafka.python.producer import producer_config
from worker.kafka.python.record_batch import batches_of
from worker.model.classifier import TfliteClassifier
from worker.model.registry import fetch_bundle, resolve_version
from worker.model.runtime import load_runtime
from worker.ops.metrics import Metrics
from worker.records import Rated, Record, next_offsets
from worker.redis.store import RedisStore
from worker.settings import WorkerSettings
from worker.stream.batcher import Batcher, Limits
from worker.stream.chunks import chunks
from worker.wiring import make_parser

_PASSES: Final = 5
_RATED_AT: Final = "2026-01-01T00:00:00.000Z"


class Tally:
    """Seconds by step, of one pass."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def take(self, step: str, work: Callable[[], Any]) -> Any:
        """Do it and return what it returns."""
        started = time.process_time()
        done = work()
        self.seconds[step] = self.seconds.get(step, 0.0) + time.process_time() - started
        return done


def main() -> int:
    """Print the table and return the exit code: 0, 2 when there is no bundle or no text."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.hot_path", description=__doc__)
    parser.add_argument("--registry", default=str(ROOT / "models"), help="its `stable` bundle rates")
    parser.add_argument("--reviews", type=int, default=20_000)
    given = parser.parse_args()
    try:
        corpus = read_corpus()
        steps = Steps(given.registry)
    except (CorpusError, ModelError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    records = [
        make_record(value, key=key, partition=number % 6, offset=number // 6)
        for number, (key, value) in enumerate(corpus.records(given.reviews))
    ]
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)  # as worker/run/app.py
    passes = [steps.once(records) for _ in range(_PASSES)]
    best = {step: min(seconds[step] for seconds in passes) / len(records) * 1e6 for step in passes[0]}
    sys.stdout.write(
        f"{this_machine()}\n{corpus.name}, {len(records)} reviews\n\n| step | CPU us/review |\n|---|---|\n"
    )
    for step, microseconds in best.items():
        sys.stdout.write(f"| {step} | {microseconds:.2f} |\n")
    sys.stdout.write(f"| sum of the steps | {sum(best[step] for step in best if not step.startswith('of it')):.2f} |\n")
    return 0


class Steps:
    """The worker's own code, with its default settings and no service."""

    def __init__(self, registry: str) -> None:
        self.settings = WorkerSettings(_env_file=None, registry=registry)
        bundle = fetch_bundle(registry, resolve_version(registry, STABLE))
        self.model = bundle.load(load_runtime()[1])
        self.classifier = TfliteClassifier(
            bundle, load_runtime()[1], runtime="any", metrics=Metrics(CollectorRegistry()), clock=SystemClock()
        )
        self.parser = make_parser(self.settings)
        # Connects at the first command, which never comes.
        self.store = RedisStore(
            self.settings, metrics=Metrics(CollectorRegistry()), clock=SystemClock(), topic_id=lambda _: "id"
        )

    def once(self, records: Sequence[Record]) -> dict[str, float]:
        """Return the seconds of each step for all records, in batches."""
        tally = Tally()
        size = self.settings.batch_reviews
        for start in range(0, len(records), size):
            self._batch(records[start : start + size], tally)
        return tally.seconds

    def _batch(self, arrived: Sequence[Record], tally: Tally) -> None:
        batcher = Batcher(Limits(len(arrived), bytes=1 << 40, tokens=1 << 40, linger_s=1))

        def gather() -> Sequence[Record]:
            batcher.add(arrived, 0.0)
            batch = batcher.release(0.0)
            assert batch is not None
            return batch.records

        records = tally.take("gather", gather)
        parsed = tally.take("parse", lambda: [self.parser.parse(record, "v") for record in records])
        rated: list[Rated] = []
        for chunk in tally.take("chunks", lambda: list(chunks(parsed))):
            pending = [review for _, review in chunk]
            settled = tally.take("rate", partial(self.classifier.rate, pending, _RATED_AT))
            texts = [review.review.text for review in pending]
            ids = tally.take("of it: encode", partial(self.model.encoder.encode_all, texts))
            tally.take("of it: infer", partial(self.model.score_ids, ids))
            rated += [outcome for outcome in settled if isinstance(outcome, Rated)]
        tally.take("Redis call", lambda: self.store._calls_for(rated))
        form = OutgoingForm(self.settings)
        out = tally.take("outgoing records", lambda: [form.of(outcome) for outcome in rated])
        at, most_bytes = TopicPartition(self.settings.output_topic, 0), producer_config(self.settings)["batch_size"]
        tally.take("kafka-python's batches", lambda: list(batches_of(at, out, most_bytes, 0)))
        keys = [outcome.rating.review_id.encode() for outcome in rated]
        tally.take("partitions", lambda: partitions_of(keys, 6))
        tally.take("offsets", lambda: next_offsets(records))


if __name__ == "__main__":
    sys.exit(main())
