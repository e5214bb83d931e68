"""The canary: its share of the reviews, and its end when too many ratings differ."""

from __future__ import annotations

import logging
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import TOY_VERSION
from tests.doubles import REFUSED
from tests.fixtures.bundles import SECOND, THIRD, Change
from tests.fixtures.serving import LIMITS, ServingBench, pending, stars, versions
from worker.model.canary import is_picked
from worker.records import Rated


def test_its_share_of_the_reviews_gets_the_candidates_rating(bench: ServingBench) -> None:
    bench.use(replace(LIMITS, share=0.25))
    bench.run_shadow(bench.toy(SECOND, Change(temperature=2.0)))
    texts = ["love", "bad", "ok"] * 400
    outcomes = bench.rate(*texts)
    picked = {review.review_id for review in pending(*texts) if is_picked(review.review_id, 0.25)}
    assert 0.2 < len(picked) / len(texts) < 0.3
    ratings = [outcome.rating for outcome in outcomes if isinstance(outcome, Rated)]
    assert {rating.review_id for rating in ratings if rating.model_version == SECOND} == picked
    assert [rating.review_id for rating in ratings] == [f"r{number}" for number in range(1200)], "in order"
    assert stars(outcomes) == [5, 1, 3] * 400
    assert bench.value("canary_share") == 0.25
    assert "25% of the reviews" in bench.health.notes["shadow"]


def test_its_ratings_replace_those_of_the_same_reviews(bench: ServingBench) -> None:
    bench.use(replace(LIMITS, share=1.0))
    bench.run_shadow(bench.toy(SECOND, Change(temperature=2.0)))
    outcomes = bench.rate(REFUSED, "love", f"a {REFUSED}", "bad", "ok")
    assert stars(outcomes) == [None, 5, None, 1, 3]
    assert [outcome.rating.review_id for outcome in outcomes if isinstance(outcome, Rated)] == ["r1", "r3", "r4"]
    assert versions(outcomes) == {SECOND: 3}


def test_it_ends_between_batches_when_too_many_ratings_differ(bench: ServingBench) -> None:
    bench.use(replace(LIMITS, share=1.0))
    bench.run_shadow(bench.toy(SECOND, Change(always=1)))
    assert versions(bench.rate(*["love"] * 19)) == {SECOND: 19}, "too few to decide on"
    bench.classifier.refresh()
    assert versions(bench.rate("love")) == {SECOND: 1}, "decided between two batches"
    bench.classifier.refresh()
    assert versions(bench.rate("love")) == {TOY_VERSION: 1}
    assert bench.value("canary_returns_total", reason="disagreement") == 1
    assert bench.value("canary_share") == 0
    assert bench.value("shadow_info", model_version=SECOND) == 1, "the comparison goes on"
    assert "; 0% of the reviews" in bench.health.notes["shadow"]
    (event,) = [event for event in bench.log.events if event.event == "canary_returned"]
    assert event.level == logging.ERROR
    assert "20 of the last 20 reviews have other stars" in bench.health.notes["canary"]
    bench.run_shadow(bench.toy(THIRD, Change(temperature=2.0)))
    assert versions(bench.rate("love")) == {THIRD: 1}, "another version has a canary of its own"
    assert "canary" not in bench.health.notes


def test_old_batches_leave_the_window(bench: ServingBench) -> None:
    bench.use(replace(LIMITS, share=1.0, min_reviews=100))
    bench.run_shadow(bench.toy(SECOND, Change(always=1)))
    for _ in range(4):
        bench.rate(*["love"] * 10)  # disagree
        bench.rate(*["bad"] * 90)  # agree; another chunk of the same batch
        bench.classifier.refresh()
    assert bench.value("canary_returns_total", reason="disagreement") == 0
    for _ in range(10):
        bench.rate(*["love"] * 10)
        bench.classifier.refresh()
    assert bench.value("canary_returns_total", reason="disagreement") == 1


@given(st.text(min_size=1, max_size=40), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_contains_the_smaller(review_id: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert is_picked(review_id, high) >= is_picked(review_id, low)
    assert is_picked(review_id, 1.0)
    assert not is_picked(review_id, 0.0)
