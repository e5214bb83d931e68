"""Reviews and ratings as a production stream has them, and how long they are.

Texts are the benchmark's corpus, taken evenly from all of it. Ids are 36-character UUIDs, as app stores give; apps
have reverse domain names; probabilities are drawn, rounded as the classifier rounds them. Two runs see the same.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from statistics import fmean
from typing import Final

from schemas.rating import Rating, SourcePosition
from tests.benchmarks.corpus import Corpus
from tests.benchmarks.sizing.measured import RecordSizes
from tests.benchmarks.sizing.wire import record_bytes
from tests.doubles import MemoryRecord
from worker.clock import iso_utc
from worker.kafka.outgoing import outgoing
from worker.records import Rated
from worker.settings import WorkerSettings

TOPIC: Final = "reviews"
_APPS: Final = 200
_STARS: Final = 5
_VERSION: Final = "20260101T000000Z-70700000"  # a bundle's name: time and eight digits
_FIRST_OFFSET: Final = 1_000_000_000  # a topic that has been in use for a while
_PARTITIONS: Final = 60
_STARTED_S: Final = 1_767_225_600.0  # 2026-01-01


def rated_reviews(corpus: Corpus, count: int) -> Iterator[Rated]:
    """Yield so many reviews with their ratings, each with an id of its own."""
    draw = random.Random(0)  # noqa: S311  (the same stars at every run)
    for number in range(count):
        text = corpus.texts[
            number * len(corpus.texts) // count if count < len(corpus.texts) else number % len(corpus.texts)
        ]
        review_id = str(uuid.UUID(int=draw.getrandbits(128), version=4))
        app_id = f"com.example.company.app{number % _APPS:03d}"
        written_s = _STARTED_S + number / 1000
        review = {"review_id": review_id, "app_id": app_id, "created_at": iso_utc(written_s), "text": text}
        value = json.dumps(review, ensure_ascii=False).encode()
        partition, offset = number % _PARTITIONS, _FIRST_OFFSET + number // _PARTITIONS
        record = MemoryRecord(TOPIC, partition, offset, round(written_s * 1000), review_id.encode(), value)
        yield Rated(record, _rating(record, review_id, app_id, _shares(draw)))


def sizes(corpus: Corpus, count: int, settings: WorkerSettings) -> RecordSizes:
    """Return mean lengths of reviews and of what the worker publishes for them."""
    reviews, ratings, values = [], [], []
    for each in rated_reviews(corpus, count):
        out = outgoing(each, settings)
        reviews.append((len(each.record.value or b""), record_bytes(each.record.key, each.record.value)))
        values.append(len(out.value or b""))
        ratings.append(record_bytes(out.key, out.value, out.headers))
    return RecordSizes(
        corpus=corpus.name,
        reviews=count,
        review_value=fmean(value for value, _ in reviews),
        review_record=fmean(record for _, record in reviews),
        rating_value=fmean(values),
        rating_record=fmean(ratings),
    )


def _shares(draw: random.Random) -> list[float]:
    """Return probabilities as `worker.model.classifier` does: six digits, one label likelier than the others."""
    weights = [draw.expovariate(1) ** 3 for _ in range(_STARS)]
    return [round(weight / sum(weights), 6) for weight in weights]


def _rating(record: MemoryRecord, review_id: str, app_id: str, shares: list[float]) -> Rating:
    return Rating(
        review_id=review_id,
        app_id=app_id,
        rating=shares.index(max(shares)) + 1,
        expected_rating=round(sum(star * share for star, share in enumerate(shares, start=1)), 4),
        confidence=max(shares),
        probabilities=shares,
        model_version=_VERSION,
        rated_at=iso_utc(record.timestamp / 1000 + 0.05),
        source=SourcePosition(topic=record.topic, partition=record.partition, offset=record.offset),
    )
