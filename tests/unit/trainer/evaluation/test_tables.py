"""The sentence that says where a model is better than its baseline, and what to do where it is not."""

from __future__ import annotations

import io

from rich.console import Console

from tests.conftest import ROOT
from trainer.evaluation.behaviour import Family
from trainer.evaluation.metrics import FIGURES, LOWER_IS_BETTER
from trainer.evaluation.tables import behaviour_table, comparison, figures_table

GOOD = {name: 0.1 if name in LOWER_IS_BETTER else 0.9 for name in FIGURES}
BAD = dict.fromkeys(FIGURES, 0.5)


def test_a_model_that_is_better_everywhere_and_one_that_is_not_are_told_apart() -> None:
    count = len(FIGURES)
    assert comparison(GOOD, BAD, 5000) == f"better than TF-IDF on {count} of {count}"
    said = comparison(GOOD | {"accuracy": 0.4}, BAD, 5000)
    assert said == f"better than TF-IDF on {count - 1} of {count}, but worse on accuracy"
    said = comparison(GOOD | {"accuracy": 0.5, "mae": 0.9}, BAD, 5000)
    assert said == f"better than TF-IDF on {count - 2} of {count}, equal on 1, but worse on MAE"
    assert comparison(BAD, BAD, 9) == f"better than TF-IDF on 0 of {count}, equal on {count}"


def test_a_model_that_the_baseline_beats_gets_the_reason_and_a_remedy() -> None:
    said = comparison(GOOD | {"accuracy": 0.4, "macro_f1": 0.4, "mae": 0.9}, BAD, 1500)
    assert said.startswith("TF-IDF beats this model on accuracy, macro-F1 and MAE: 1,500 training texts are few; ")
    section = said.rsplit('"', 2)[1]
    assert f"\n## {section}\n" in (ROOT / "trainer" / "README.md").read_text(encoding="utf-8")


def test_every_figure_can_be_read_on_a_narrow_terminal() -> None:
    models = ["gru (float16, TFLite)", "majority", "tfidf_logistic", "tfidf_logistic_balanced"]
    rows = dict.fromkeys([*models, "20261127T191414Z-c0ec58be (learned from some of these)"], GOOD)
    screen = Console(width=80, file=io.StringIO())
    screen.print(figures_table("159 held-out reviews", rows))
    lines = screen.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert "…" not in "".join(lines)
    for name in FIGURES:
        (line,) = (line for line in lines if line.startswith(f"│ {name} "))
        assert line.count(f"{GOOD[name]:.3f}") == len(rows)


def test_a_figure_just_below_zero_is_zero() -> None:
    screen = Console(width=80, file=io.StringIO())
    screen.print(figures_table("", {"gru": GOOD | {"nll": -1e-9}}))
    assert "-0.000" not in screen.file.getvalue()  # type: ignore[attr-defined]


def test_sentences_are_shown_as_they_are() -> None:
    screen = Console(width=100, file=io.StringIO())
    screen.print(behaviour_table([Family("spelling", 4, 3, ['"[bold]" 3'])]))
    shown = screen.file.getvalue()  # type: ignore[attr-defined]
    assert '"[bold]" 3' in shown
    assert "3 of 4" in shown
