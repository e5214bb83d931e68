"""The quality benchmark: which cases it runs, what the table says, and that the README's rest is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.benchmarks.model_quality.cases import QUESTIONS, SETS, Case, cases
from tests.benchmarks.model_quality.table import BEGIN, END, between, page
from trainer.__main__ import _parse
from trainer.settings import TrainSettings

FIGURES = {"accuracy": 0.8, "macro_f1": 0.5, "mae": 0.4, "qwk": 0.85, "within_one": 0.9, "ece": 0.02}


def _found(accuracy: float, *, floors: bool = True) -> dict[str, Any]:
    variant = {"size_bytes": 2e6, "probability_error": 1e-6, "changed": 0, "test_changed": 1, "test_rows": 9}
    return {
        "metrics": {**FIGURES, "accuracy": accuracy},
        "floors": dict.fromkeys(("majority", "tfidf_logistic", "tfidf_logistic_balanced"), FIGURES) if floors else {},
        "variant": "float16",
        "variants": [{**variant, "variant": "float16", "test_accuracy": 0.5, "reviews_per_s": 1000.0}],
        "seconds": {"fit": 10.0},
        "cpu_seconds": 20.0,
    }


@pytest.mark.parametrize("case", cases(list(SETS), list(QUESTIONS), [0]), ids=lambda case: case.title)
def test_every_case_is_a_command_the_trainer_takes(case: Case) -> None:
    settings = _parse(["train", "--data", "x.csv", *case.flags])
    assert isinstance(settings, TrainSettings)
    assert case.question == "default" or case.flags[0] != "--seed", "a question changes something"


def test_restricting_restricts() -> None:
    found = cases(["imdb"], ["default", "cell"], [0, 4])
    assert [(case.reviews, case.name, case.seed) for case in found] == [("imdb", "default", 0), ("imdb", "default", 4)]


def test_page_gives_mean_and_spread_beside_the_floors_and_the_default() -> None:
    default, lstm = cases(["app_reviews"], ["default"], [0, 1]), cases(["app_reviews"], ["cell"], [0])
    table = page({default[0]: _found(0.8), default[1]: _found(0.82), lstm[0]: _found(0.7, floors=False)})
    assert "| app_reviews | **default** | 0.810 ± 0.014 | 0.500 ± 0.000" in table
    assert "| app_reviews | TF-IDF + LR | 0.800 ± 0.000" in table
    assert "| app_reviews | default | 0.800 | 0.500" in table, "the default on the seeds the question was asked with"
    assert "| app_reviews | **lstm** | 0.700 |" in table
    assert "| app_reviews | 0 | float16 | yes | 2.00 | 1.0e-06 | 0 | 1 | 9 | 0.5000 | 1000 |" in table


def test_table_is_written_between_its_markers_only() -> None:
    document = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    once = between(document, "new\n")
    assert once == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    assert between(once, "new\n") == once


@pytest.mark.parametrize("document", ["nothing", BEGIN, f"{END} {BEGIN}", f"{BEGIN} {BEGIN} {END} {BEGIN}"])
def test_document_without_markers_is_refused(document: str) -> None:
    with pytest.raises(ValueError, match="needs"):
        between(document, "new")
