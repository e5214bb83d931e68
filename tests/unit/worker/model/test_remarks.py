"""What ratings say besides their stars: contradictions by the bundle's rule, and the words behind them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from schemas.bundle import read_bundle
from schemas.decision import Floats, MismatchRule
from schemas.encoding import Ids
from schemas.inference import Model, Scores
from schemas.rating import RATING, Rating
from schemas.reasons.explain import leave_out
from tests.conftest import TOY_REGISTRY, TOY_VERSION
from tests.doubles import REFUSED, WALL_S, ManualClock
from tests.fixtures.serving import pending
from worker.model.classifier import TfliteClassifier
from worker.model.remarks import RatingOptions
from worker.model.runtime import load_runtime
from worker.ops.metrics import Metrics
from worker.records import Pending, Rated
from worker.settings import ReasonsMode

AT = "2026-01-01T00:00:00.000Z"
RULE = MismatchRule(false_alarm_rate=0.01, threshold=0.1, held_out_share=0.01)


class Bench:
    """A classifier on the toy with a rule of the test's own."""

    def __init__(self, metrics: Metrics, reasons: ReasonsMode, rule: MismatchRule | None) -> None:
        runtime, interpreter = load_runtime()
        bundle = read_bundle(TOY_REGISTRY / TOY_VERSION)
        bundle = replace(bundle, manifest=bundle.manifest.model_copy(update={"mismatch": rule}))
        clock, options = ManualClock(), RatingOptions(reasons=reasons)
        self.classifier = TfliteClassifier(
            bundle, interpreter, runtime=runtime, metrics=metrics, clock=clock, options=options
        )
        self.rated: list[Rated] = []

    def rate(self, *reviews: Pending) -> list[Rating | None]:
        outcomes = self.classifier.rate(reviews, AT)
        self.rated = [outcome for outcome in outcomes if isinstance(outcome, Rated)]
        return [outcome.rating if isinstance(outcome, Rated) else None for outcome in outcomes]


def scored(text: str, score: float | None) -> Pending:
    (review,) = pending(text)
    return replace(review, review=replace(review.review, score=score))


def mismatches(ratings: list[Rating | None]) -> list[bool | None]:
    return [rating.mismatch if rating else None for rating in ratings]


def test_stars_that_the_text_makes_improbable_are_a_mismatch(metrics: Metrics) -> None:
    bench = Bench(metrics, "off", RULE)
    reviews = [scored("love it", 1), scored("love it", 5), scored("bad", 5), scored("bad", 1.0), scored("bad", 4.5)]
    assert mismatches(bench.rate(*reviews, scored("bad", None), scored("love", 9))) == [
        True, False, True, False, None, None, None,
    ]  # fmt: skip
    metrics.count_outcomes(bench.rated, WALL_S)
    labels = {"model_version": TOY_VERSION}
    assert metrics.registry.get_sample_value("starstream_mismatches_total", labels) == 2


def test_a_bundle_without_the_rule_says_nothing_of_mismatches(metrics: Metrics) -> None:
    bench = Bench(metrics, "off", None)
    assert mismatches(bench.rate(scored("love it", 1))) == [None]
    assert "mismatch" not in json.loads(bench.rated[0].value)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("off", [None, None, None, None]),
        ("low", [["terrible", "bad"], None, None, None]),
        ("all", [["terrible", "bad"], ["good", "love"], ["app"], None]),
    ],
)
def test_the_words_behind_a_rating_by_mode(metrics: Metrics, mode: ReasonsMode, expected: object) -> None:
    bench = Bench(metrics, mode, None)
    ratings = bench.rate(*pending("terrible, BAD bad app", "good love app", "app", f"x {REFUSED}"))
    found = [rating.reasons if rating else None for rating in ratings]
    assert [words and sorted(words, reverse=True) for words in found] == [
        words and sorted(words, reverse=True)
        for words in expected  # type: ignore[attr-defined]
    ]


@pytest.mark.parametrize(("most", "calls"), [(1, [2, 2, 3]), (8, [4, 3]), (2_000_000, [7])])
def test_long_texts_are_measured_few_at_a_time_with_the_same_words(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch, most: int, calls: list[int]
) -> None:
    asked: list[int] = []

    def counted(model: Model, rows: Sequence[Ids], scores: Scores) -> list[tuple[Floats, Floats]]:
        asked.append(sum(len(row) for row in rows))
        return leave_out(model, rows, scores)

    monkeypatch.setattr("worker.model.remarks._MOST_IDS", most)
    monkeypatch.setattr("worker.model.remarks.leave_out", counted)
    ratings = Bench(metrics, "all", None).rate(*pending("bad app", "good app", "good good love"))
    assert [rating and rating.reasons for rating in ratings] == [["bad"], ["good"], ["good", "love"]]
    assert asked == calls


def test_a_rating_with_remarks_reads_back_as_it_was(metrics: Metrics) -> None:
    bench = Bench(metrics, "all", RULE)
    (rating,) = bench.rate(scored("so bad", 5))
    assert rating is not None
    assert (rating.mismatch, rating.reasons) == (True, ["bad"])
    assert RATING.validate_json(bench.rated[0].value) == rating
