"""The quality benchmark: its cases, its tables, and how they are written into a page."""

from __future__ import annotations

from typing import Any

import pytest

from tests.benchmarks.model_quality.__main__ import README
from tests.benchmarks.model_quality.cases import QUESTIONS, SETS, Case, cases
from tests.benchmarks.model_quality.runs import BASELINES_CODE, CODE
from tests.benchmarks.model_quality.table import BEGIN, END, LABELS_BEGIN, LABELS_END, labels_page, page
from tests.benchmarks.report import spliced
from tests.conftest import ROOT
from tests.fixtures.flags import of_trainer
from trainer.settings import TrainSettings

FIGURES = {"accuracy": 0.8, "macro_f1": 0.5, "mae": 0.4, "qwk": 0.85, "within_one": 0.9, "ece": 0.02}


def _found(accuracy: float, *, baselines: bool = True) -> dict[str, Any]:
    variant = {"size_bytes": 2e6, "probability_error": 1e-6, "changed": 0, "test_changed": 1, "test_rows": 9}
    return {
        "metrics": {**FIGURES, "accuracy": accuracy},
        "baselines": dict.fromkeys(("majority", "tfidf_logistic", "tfidf_logistic_balanced"), FIGURES)
        if baselines
        else {},
        "variant": "float16",
        "variants": [{**variant, "variant": "float16", "test_accuracy": 0.5, "reviews_per_s": 1000.0}],
        "seconds": {"fit": 10.0},
        "cpu_seconds": 20.0,
    }


@pytest.mark.parametrize("case", cases(list(SETS), list(QUESTIONS), [0]), ids=lambda case: case.title)
def test_every_case_is_a_command_the_trainer_takes(case: Case) -> None:
    settings = of_trainer(["train", "--data", "x.csv", *case.flags])
    assert isinstance(settings, TrainSettings)
    assert case.question == "default" or case.flags[0] != "--seed", "a question changes something"


def test_key_covers_files_that_exist() -> None:
    assert [name for name in (*CODE, *BASELINES_CODE) if not (ROOT / name).is_file()] == []


def test_readme_can_take_the_tables() -> None:
    for begin, end in ((BEGIN, END), (LABELS_BEGIN, LABELS_END)):
        assert "\nnew\n" in spliced(README.read_text(encoding="utf-8"), "new", begin, end)


def test_flags_restrict_the_cases() -> None:
    found = cases(["imdb"], ["default", "cell"], [0, 4])
    assert [(case.reviews, case.name, case.seed) for case in found] == [("imdb", "default", 0), ("imdb", "default", 4)]


def test_page_has_mean_and_spread_with_the_baselines_and_the_default() -> None:
    default, lstm = cases(["app_reviews"], ["default"], [0, 1]), cases(["app_reviews"], ["cell"], [0])
    table = page({default[0]: _found(0.8), default[1]: _found(0.82), lstm[0]: _found(0.7, baselines=False)})
    assert "With `--unlabelled unlabelled_reviews.csv.gz` (" in table
    assert "app_reviews, canva." in table
    assert "| app_reviews | **default** | 0.810 ± 0.014 | 0.500 ± 0.000" in table
    assert "| app_reviews | TF-IDF + LR | 0.800 ± 0.000" in table
    assert "| app_reviews | default | 0.800 | 0.500" in table, "the default on the seeds of the question"
    assert "| app_reviews | **lstm** | 0.700 |" in table
    assert "| app_reviews | 0 | float16 | yes | 2.00 | 1.0e-06 | 0 | 1 | 9 | 0.5000 | 1000 |" in table


def test_the_page_of_labels_has_its_figures_its_baselines_and_each_label() -> None:
    found = _found(0.3)
    figures = {"macro_f1": 0.47, "micro_f1": 0.56, "average_precision": 0.44, "accuracy": 0.36, "ece": 0.03}
    figures["label_ece"] = 0.01
    found["metrics"] = figures
    found["baselines"] = dict.fromkeys(("majority", "tfidf_logistic", "tfidf_logistic_thresholds"), figures)
    found["classes"] = [{"label": "joy", "f1": 0.5, "average_precision": 0.25, "support": 7}]
    table = labels_page(dict.fromkeys(cases(["goemotions"], ["labels"], [0, 1]), found))
    assert "| goemotions | **labels** | 0.470 ± 0.000 | 0.560 ± 0.000" in table
    assert "| goemotions | the same, with fitted thresholds | 0.470" in table
    assert "| joy | 0.500 ± 0.000 | 0.250 ± 0.000 | 7 |" in table
