"""The quality benchmark: its cases, its tables, and how they are written into a page."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.model_quality.__main__ import README, TABLES
from tests.benchmarks.model_quality.cases import APPS, LEFT_OUT, PEOPLE, QUESTIONS, SETS, Case, cases
from tests.benchmarks.model_quality.runs import NO_BASELINE, NO_MODEL, code
from tests.benchmarks.model_quality.table import labels_page, page
from tests.benchmarks.model_quality.unseen import input_of
from tests.benchmarks.model_quality.unseen_table import interval, pooled, unseen_page
from tests.benchmarks.report import spliced
from tests.conftest import ROOT
from tests.fixtures.flags import of_trainer
from tests.fixtures.running import data_file
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
    of_flags = case.question not in {"default", LEFT_OUT, PEOPLE}
    assert not of_flags or case.flags[0] != "--seed", "a question changes something"


def test_a_key_covers_every_file_of_the_packages_but_those_named() -> None:
    """A new file changes the key, unless a person says that it makes no model."""
    assert [name for name in (*NO_MODEL, *NO_BASELINE) if not (ROOT / name).exists()] == []
    of_model = {str(path.relative_to(ROOT)) for path in code()}
    of_baselines = {str(path.relative_to(ROOT)) for path in code((*NO_MODEL, *NO_BASELINE))}
    makes_models = {"trainer/network/across.py", "trainer/network/decide.py", "trainer/evaluation/rules.py"}
    assert makes_models | {"trainer/train.py", "schemas/encoding.py", "schemas/batch/encoder.py"} <= of_model
    assert {"trainer/evaluation/baselines.py", "trainer/data/split.py", "schemas/decision.py"} <= of_baselines
    assert of_baselines < of_model
    assert not {path for path in of_model if path.startswith("trainer/publish") or "gate" in path}


def test_apps_that_are_left_out_are_those_of_the_set() -> None:
    with data_file("app_reviews.csv").open(encoding="utf-8") as file:
        assert {row["app_id"] for row in csv.DictReader(file)} == {*APPS}


def test_readme_can_take_the_tables() -> None:
    for _, _, begin, end in TABLES:
        assert "\nnew\n" in spliced(README.read_text(encoding="utf-8"), "new", begin, end)


def test_flags_restrict_the_cases() -> None:
    found = cases(["imdb"], ["default", "cell"], [0, 4])
    assert [(case.reviews, case.name, case.seed) for case in found] == [("imdb", "default", 0), ("imdb", "default", 4)]
    assert [case.name for case in cases([*SETS], [LEFT_OUT], [0], ["in.junio"])] == ["in.junio"]


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


def test_an_app_that_is_left_out_is_in_no_row_of_its_training(tmp_path: Path) -> None:
    source = tmp_path / "app_reviews.csv"
    source.write_text("content,score,app_id\na,1,in.junio\nb,2,me.greenlight\nc,3,in.junio\n", encoding="utf-8")
    (case,) = (case for case in cases(["app_reviews"], [LEFT_OUT], [0]) if case.name == "in.junio")
    assert input_of(case, tmp_path, lambda name: tmp_path / name) == [("--data", tmp_path / "rest.csv")]
    assert (tmp_path / "rest.csv").read_text(encoding="utf-8").split() == ["content,score,app_id", "b,2,me.greenlight"]
    assert "a,1,in.junio" in (tmp_path / "left.csv").read_text(encoding="utf-8")


def test_apps_left_out_are_pooled_with_an_interval_of_whole_apps() -> None:
    right = {"targets": [0, 1, 4, 4], "model": [0, 1, 4, 4], "baseline": [0, 0, 4, 4]}
    equal = {"targets": [0, 4], "model": [0, 4], "baseline": [0, 4]}
    results = [right, equal]
    assert pooled(results)["targets"] == [0, 1, 4, 4, 0, 4]
    low, high = interval(results)["accuracy"]
    assert (low, high) == (0.0, 0.25), "either app may be drawn twice"
    apps = cases(["app_reviews"], [LEFT_OUT], [0])
    found = {case: {"left_out": right if case.name == "in.junio" else equal} for case in apps}
    table = unseen_page(found)
    assert "| in.junio | 4 | TF-IDF + LR | 0.750 |" in table
    assert "| **all, pooled** | 12 | **default** | 1.000 |" in table
    assert "accuracy +0.083 (95% interval +0.000 to " in table
    some = unseen_page(dict([*found.items()][:2]))
    assert "| in.junio | 4 |" in some
    assert "pooled" not in some, "the apps are not all there"
    assert "The network against" not in some


def test_sentences_of_people_and_other_apps_stand_beside_their_goals() -> None:
    (people,) = cases(["sample"], [PEOPLE], [0])
    (default,) = cases(["app_reviews"], ["default"], [0])
    kinds = {"amazon": {"sentences": 370, "correlation": 0.75}, "films": {"sentences": 1060, "correlation": 0.7}}
    groups = {"gp_edtech": {"reviews": 1200, "baseline": FIGURES, "model": {**FIGURES, "accuracy": 0.9}}}
    table = unseen_page({people: {"people": kinds}, default: {"elsewhere": groups}})
    assert "| amazon | 370 | **0.750** | 0.57 | 0.740 | 0.91 | 0 |" in table
    assert (
        "| app_reviews | other_apps.csv.gz, gp_edtech (1,200) | **default** | 0.900 | 0.500 | 0.400 | 0.850 | 0 |"
        in table
    )
    assert "gp_edtech (1,200) | goal | 0.735 | 0.400 | 0.600 | 0.750 |" in table
