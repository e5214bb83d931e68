"""Telling words of an app: reads the topics, counts, and reports.

Owns the order: first the ratings of the period, then their texts, by the positions that the ratings name. Nothing is
kept between two calls, and nothing of it is in the stream. Texts are masked before their words are counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from schemas.encoding import tokens
from schemas.personal.mask import Masker
from worker.clock import Clock
from worker.kafka.offset_range import LATEST, Point, Span
from worker.kafka.python.topics import Topics
from worker.kafka.ratings_reader import RatingsReader
from worker.records import Partition, Pending, Record
from worker.settings import WorkerSettings
from worker.wiring import make_parser
from worker.words.log_odds import Word, WordCounts, telling, to_fields
from worker.words.period import By, Period
from worker.words.sample import Kept, Sample

MOST_REVIEWS: Final = 50_000
_MOST_GROUPS: Final = 12  # of versions or weeks: the ones with the most reviews


@dataclass(frozen=True, slots=True)
class Means:
    """Reviews with their means: as their texts say, and as their authors say."""

    reviews: int
    rated: float | None
    authors: float | None
    with_author: int
    mismatches: int

    def to_fields(self) -> dict[str, Any]:
        """Return the fields as JSON has them."""
        return {
            "reviews": self.reviews,
            "mean": None if self.rated is None else round(self.rated, 4),
            "reviews_with_author_stars": self.with_author,
            "author_mean": None if self.authors is None else round(self.authors, 4),
            "mismatches": self.mismatches,
        }


@dataclass(frozen=True, slots=True)
class Telling:
    """The telling words of an app.

    Attributes:
        one_in: how many reviews stand behind each that was counted; 1: all were.
        without_text: reviews whose text the input topic no longer has.
        groups: by group: its reviews in the period, and its words.
    """

    app: str
    by: By
    now: Means
    before: Means
    one_in: int
    without_text: int
    groups: Mapping[str, tuple[int, list[Word]]]

    def to_fields(self) -> dict[str, Any]:
        """Return the fields as JSON has them."""
        groups = {group: {"reviews": count, "words": to_fields(words)} for group, (count, words) in self.groups.items()}
        return {
            "app_id": self.app,
            "by": self.by,
            "now": self.now.to_fields(),
            "before": self.before.to_fields(),
            "one_in": self.one_in,
            "without_text": self.without_text,
            "groups": groups,
        }


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for."""

    app: str
    period: Period
    by: By
    most_words: int = 10  # of a group
    most_reviews: int = MOST_REVIEWS


def telling_words(settings: WorkerSettings, clock: Clock, asked: Question, masker: Masker) -> Telling:
    """Read the topics and return the telling words of an app; blocks.

    Raises:
        ServiceError: the brokers do not answer.
        SettingsError: there is no ratings topic.
    """
    sample = Sample(asked.app, asked.period, asked.by, asked.most_reviews)
    with closing(Topics(settings, clock)) as topics:
        _read_ratings(topics, settings, sample)
        counted = _Counted(asked.by, masker)
        for kept, text in _texts(topics, settings, sample.kept.values()):
            counted.add(kept, text)
    recent = [kept for kept in sample.kept.values() if kept.recent]
    older = [kept for kept in sample.kept.values() if not kept.recent]
    missing = len(sample.kept) - counted.texts
    groups = counted.groups(asked.most_words)
    return Telling(asked.app, asked.by, _means(recent), _means(older), sample.one_in, missing, groups)


def _read_ratings(topics: Topics, settings: WorkerSettings, sample: Sample) -> None:
    reader = RatingsReader(settings)
    partitions = topics.require([settings.output_topic], "WORKER_OUTPUT_TOPIC")
    start = Point("time", max(0, round(sample.period.begin_s * 1000)))  # a review is rated after it was written
    for partition, span in topics.spans(partitions, start, LATEST).items():
        for record in topics.read(partition, span):
            rating = reader.read(record)
            if rating is not None:
                sample.add(rating)
            elif record.value is None and record.key:
                sample.remove(record.key.decode("utf-8", "replace"))


def _texts(topics: Topics, settings: WorkerSettings, kept: Iterable[Kept]) -> Iterator[tuple[Kept, str]]:
    """Yield the reviews whose text the input topics still have."""
    parser = make_parser(settings)
    wanted: dict[Partition, dict[int, Kept]] = defaultdict(dict)
    for one in kept:
        wanted[Partition(one.topic, one.partition)][one.offset] = one
    for partition, by_offset in wanted.items():
        if partition not in topics.partitions(partition.topic):  # of another cluster, or of a front
            continue
        first, last = Point("offset", min(by_offset)), Point("offset", max(by_offset) + 1)
        span = topics.spans([partition], first, last)[partition]
        for record in topics.read(partition, Span(*span)):
            if record.offset in by_offset and (text := _text_of(parser.parse(record, ""), record)) is not None:
                yield by_offset[record.offset], text


def _text_of(outcome: object, record: Record) -> str | None:
    return outcome.review.text if isinstance(outcome, Pending) and record.value is not None else None


class _Counted:
    """The words of each group, in the period and before it."""

    def __init__(self, by: By, masker: Masker) -> None:
        self.texts = 0
        self._by = by
        self._masker = masker
        self._now: dict[str, WordCounts] = defaultdict(WordCounts)
        self._before: dict[str, WordCounts] = defaultdict(WordCounts)
        self._before_all = WordCounts()

    def add(self, kept: Kept, text: str) -> None:
        self.texts += 1
        words = [word for word in tokens(self._masker.mask(text)) if _is_word(word)]
        for group in kept.groups:
            if self._by == "star":
                (self._now if kept.recent else self._before)[group].add(words)
            elif kept.recent:
                self._now[group].add(words)
            else:
                self._before_all.add(words)

    def groups(self, most_words: int) -> dict[str, tuple[int, list[Word]]]:
        """Return the largest groups, in the order of their names, each against the time before.

        A star is compared with the same star before: against all, it would show only that angry reviews are angry.
        """
        largest = sorted(self._now, key=lambda group: -self._now[group].reviews)[:_MOST_GROUPS]
        found = {}
        for group in sorted(largest):
            before = self._before[group] if self._by == "star" else self._before_all
            found[group] = self._now[group].reviews, telling(self._now[group], before, most_words)
        return found


def _is_word(token: str) -> bool:
    """Tell words and emoji from marks and numbers."""
    return not token.isascii() or (len(token) > 1 and token[0].isalnum() and not token.isdigit())


def _means(kept: list[Kept]) -> Means:
    authors = [one.author for one in kept if one.author is not None]
    stars = [one.stars for one in kept if one.stars is not None]
    return Means(
        reviews=len(kept),
        rated=sum(stars) / len(stars) if stars else None,
        authors=sum(authors) / len(authors) if authors else None,
        with_author=len(authors),
        mismatches=sum(one.mismatch for one in kept),
    )
