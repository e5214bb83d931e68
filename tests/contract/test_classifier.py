"""The Classifier port: one outcome per review, in order; an unratable review does not affect the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.bundle import read_bundle
from tests.conftest import TOY_REGISTRY, TOY_VERSION
from tests.doubles import REFUSED, ManualClock, StubClassifier
from tests.fixtures.broken import without_numbers
from tests.fixtures.serving import pending, stars
from worker.model.classifier import TfliteClassifier
from worker.model.remarks import RatingOptions
from worker.model.runtime import load_runtime
from worker.ops.metrics import Metrics
from worker.records import Pending, Rated, Rejected
from worker.stream.ports import Classifier

RATED_AT = "2026-01-01T00:00:00.000Z"


def make_tflite(metrics: Metrics, clock: ManualClock, min_confidence: float | None = None) -> TfliteClassifier:
    runtime, interpreter = load_runtime("litert")
    bundle = read_bundle(TOY_REGISTRY / TOY_VERSION)
    return TfliteClassifier(
        bundle, interpreter, runtime=runtime, metrics=metrics, clock=clock, options=RatingOptions(min_confidence)
    )


@pytest.fixture(params=["stub", "tflite"])
def classifier(request: pytest.FixtureRequest, metrics: Metrics, clock: ManualClock) -> Classifier:
    return StubClassifier() if request.param == "stub" else make_tflite(metrics, clock)


def test_an_empty_batch_has_no_outcomes(classifier: Classifier) -> None:
    assert classifier.rate([], RATED_AT) == []


def test_outcomes_are_in_the_order_of_the_reviews(classifier: Classifier) -> None:
    assert stars(classifier.rate(pending("love", "bad", "something else", "love"), RATED_AT)) == [5, 1, 3, 5]


def test_a_rating_names_its_review_app_model_and_source(classifier: Classifier) -> None:
    reviews = [
        replace(review, review=replace(review.review, app_id="com.example")) for review in pending("love", "bad")
    ]
    for review, outcome in zip(reviews, classifier.rate(reviews, RATED_AT), strict=True):
        assert isinstance(outcome, Rated)
        rating = outcome.rating
        assert outcome.record is review.record
        assert (rating.review_id, rating.app_id, rating.rated_at) == (review.review_id, "com.example", RATED_AT)
        assert rating.model_version == classifier.version
        source = rating.source
        assert (source.partition, source.offset) == (review.record.partition, review.record.offset)
        assert rating.confidence == max(rating.probabilities)
        assert sum(rating.probabilities) == pytest.approx(1, abs=1e-5)
        assert rating.expected_rating is not None
        assert 1 <= rating.expected_rating <= 5


def test_the_authors_stars_are_kept_and_do_not_change_the_rating(classifier: Classifier) -> None:
    (review,) = pending("love")
    scores = (None, 1, 2.0, 4.5, 9, float("nan"))
    reviews = [Pending(review.record, "r0", replace(review.review, score=score)) for score in scores]
    outcomes = [outcome for outcome in classifier.rate(reviews, RATED_AT) if isinstance(outcome, Rated)]
    assert [outcome.score for outcome in outcomes] == [None, 1, 2, None, None, None]
    ratings = [replace(outcome.rating, author_score=None) for outcome in outcomes]
    assert all(rating == ratings[0] for rating in ratings)
    written = [repr(outcome.rating.author_score) for outcome in outcomes[:5]]
    assert written == ["None", "1.0", "2.0", "4.5", "9.0"], "the topic and Redis write the same number"


def test_what_the_review_says_of_itself_is_in_its_rating(classifier: Classifier) -> None:
    (review,) = pending("love")
    told = replace(review, review=replace(review.review, created_at=1767225600, app_version="1.2"))
    for reviewed, known in ((review, (None, None)), (told, ("2026-01-01T00:00:00.000Z", "1.2"))):
        (outcome,) = classifier.rate([reviewed], RATED_AT)
        assert isinstance(outcome, Rated)
        assert (outcome.rating.created_at, outcome.rating.app_version) == known


@pytest.mark.parametrize("at", [0, 1, 127, 128, 255])
def test_an_unratable_review_is_rejected_and_the_255_others_are_rated(at: int, classifier: Classifier) -> None:
    texts = ["love"] * 256
    texts[at] = f"love {REFUSED} love"
    outcomes = classifier.rate(pending(*texts), RATED_AT)
    assert stars(outcomes) == [None if number == at else 5 for number in range(256)]
    rejected = outcomes[at]
    assert isinstance(rejected, Rejected)
    letter = rejected.letter
    assert (letter.reason, letter.stage, letter.offset) == ("unratable", "rate", at)
    assert letter.model_version == classifier.version
    assert REFUSED not in letter.message


def test_a_batch_of_unratable_reviews_is_rejected_and_the_next_is_rated(classifier: Classifier) -> None:
    assert stars(classifier.rate(pending(*[REFUSED] * 9), RATED_AT)) == [None] * 9
    assert stars(classifier.rate(pending("love"), RATED_AT)) == [5]


def test_a_review_with_nan_probabilities_is_rejected_and_the_others_are_rated(
    metrics: Metrics, clock: ManualClock
) -> None:
    classifier = make_tflite(metrics, clock)
    without_numbers(classifier, tokens=2)
    assert stars(classifier.rate(pending("love", "bad bad", "bad", "love"), RATED_AT)) == [5, None, 1, 5]


texts = st.lists(
    st.lists(st.sampled_from(["love", "bad", "ok", "xyz", "sooo", "🙂", REFUSED]), min_size=1, max_size=30).map(
        " ".join
    ),
    max_size=40,
)


@given(texts=texts)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_rating_does_not_depend_on_the_other_reviews_of_the_batch(
    texts: list[str], metrics: Metrics, clock: ManualClock
) -> None:
    classifier = make_tflite(metrics, clock)
    batch = classifier.rate(pending(*texts), RATED_AT)
    for review, outcome in zip(pending(*texts), batch, strict=True):
        (alone,) = classifier.rate([review], RATED_AT)
        assert type(alone) is type(outcome)
        if isinstance(alone, Rated) and isinstance(outcome, Rated):
            assert np.allclose(alone.rating.probabilities, outcome.rating.probabilities, atol=1e-5)


def test_a_rating_below_min_confidence_is_marked_uncertain(metrics: Metrics, clock: ManualClock) -> None:
    classifier = make_tflite(metrics, clock, min_confidence=0.5)
    marks = [
        outcome.rating.uncertain
        for outcome in classifier.rate(pending("love", "something else"), RATED_AT)
        if isinstance(outcome, Rated)
    ]
    assert marks == [False, True]


def test_tokens_unknown_words_and_padding_are_counted(metrics: Metrics, clock: ManualClock) -> None:
    classifier = make_tflite(metrics, clock)
    classifier.rate(pending("love", "bad xyz"), RATED_AT)
    value = metrics.registry.get_sample_value
    assert value("starstream_inference_tokens_total") == 3
    assert value("starstream_inference_unknown_tokens_total") == 1
    assert value("starstream_inference_cells_total") == 4
    assert value("starstream_inference_seconds_count") == 1
