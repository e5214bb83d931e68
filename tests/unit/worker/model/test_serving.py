"""The serving classifier: it changes its models between two batches, and a shadow changes no rating."""

from __future__ import annotations

from collections.abc import Sequence

from tests.conftest import TOY_VERSION
from tests.doubles import REFUSED
from tests.fixtures.bundles import SECOND, Change
from tests.fixtures.serving import ServingBench, versions
from worker.model.classifier import Encoded, TfliteClassifier
from worker.model.runtime import load_runtime
from worker.records import Pending


def test_an_offer_is_taken_by_refresh_only(bench: ServingBench) -> None:
    bench.offer(bench.toy(SECOND, Change(always=1)))
    assert bench.classifier.version == TOY_VERSION
    assert versions(bench.rate("love", "bad")) == {TOY_VERSION: 2}
    bench.classifier.refresh()
    assert bench.classifier.version == SECOND
    assert versions(bench.rate("love", "bad")) == {SECOND: 2}


def test_a_batch_is_rated_by_one_version_whatever_is_offered_meanwhile(bench: ServingBench) -> None:
    second = bench.toy(SECOND, Change(always=1))

    class Offering(TfliteClassifier):
        def encode(self, pending: Sequence[Pending]) -> Encoded:
            bench.offer(second)
            return super().encode(pending)

    bench.offer(bench.toy(TOY_VERSION, kind=Offering))
    bench.classifier.refresh()
    assert versions(bench.rate(*["love"] * 300)) == {TOY_VERSION: 300}
    bench.classifier.refresh()
    assert bench.classifier.version == SECOND


def test_a_swap_is_counted_logged_and_noted(bench: ServingBench) -> None:
    bench.offer(bench.toy(SECOND, Change()))
    bench.classifier.refresh()
    assert bench.value("model_reloads_total", role="stable", outcome="served") == 1
    info = {"cell": "gru", "variant": "float32", "runtime": load_runtime("litert")[0]}
    assert bench.value("model_info", model_version=TOY_VERSION, **info) == 0
    assert bench.value("model_info", model_version=SECOND, **info) == 1
    assert bench.health.notes["model"] == SECOND
    event = bench.log.events[-1]
    assert (event.event, event.fields) == ("model_serving", {"model_version": SECOND, "before": TOY_VERSION})


def test_a_shadow_leaves_the_outcomes_as_they_are(bench: ServingBench) -> None:
    texts = ("love", "bad", "ok", f"a {REFUSED}", "love love")
    alone = bench.rate(*texts)
    bench.run_shadow(bench.toy(SECOND, Change(always=1)))
    assert bench.rate(*texts) == alone


def test_drift_counts_a_sample_of_a_large_batch(bench: ServingBench) -> None:
    for _ in range(2):
        bench.rate(*["love"] * 1000)
    assert bench.value("drift_window_reviews", model_version=TOY_VERSION) == 63
    assert (bench.value("drift_psi", model_version=TOY_VERSION, feature="stars") or 0) > 0.25
