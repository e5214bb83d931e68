"""Results as tables for a terminal: the figures of models side by side, each label's, and the gate's verdict.

Owns their columns. `console` prints them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from rich.markup import escape
from rich.table import Table

from schemas.label_decision import AnyDecision
from trainer.evaluation.behaviour import Family
from trainer.evaluation.doubts import lost_to
from trainer.evaluation.gate import Verdict
from trainer.evaluation.groups import figures_by_group, shown
from trainer.evaluation.metrics import LOWER_IS_BETTER, Evaluation, best
from trainer.evaluation.rules import compare_rules

_SHOWN: Final = {
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
    "within_one": "within one star",
    "average_precision": "average precision",
    "label_ece": "the labels' ECE",
}


def figures_table(title: str, rows: Mapping[str, Mapping[str, float]], *, mark_best: bool = True) -> Table:
    """Return the figures of several models side by side, a column a model, the best of each row in bold."""
    table = Table("", title=title)
    for model in rows:  # the columns are as narrow as their figures allow: six fit into 80 characters
        table.add_column(model, justify="right", overflow="fold", min_width=5)
    for name in next(iter(rows.values())):
        values = [figures[name] for figures in rows.values()]
        winner = best(name, values) if mark_best and len(rows) > 1 else None
        arrow = "↓" if name in LOWER_IS_BETTER else "↑"
        table.add_row(f"{name} {arrow}", *(_cell(value, bold=value == winner) for value in values))
    return table


def detail_tables(
    evaluation: Evaluation, groups: Sequence[str], decision: AnyDecision
) -> tuple[dict[str, dict[str, float]], dict[str, tuple[int, dict[str, float]]], list[Table]]:
    """Return the figures of other rules and of each group, and the tables that show them."""
    rules = compare_rules(evaluation, decision)
    by_group = figures_by_group(evaluation, groups, decision)
    tables = [figures_table("the same reviews by other rules", rules)] if rules else []
    if by_group:
        tables.append(figures_table("the groups with the lowest accuracy", shown(by_group), mark_best=False))
    return rules, by_group, tables


def behaviour_table(families: Sequence[Family]) -> Table:
    """Return the share of the checks that pass in each family, with one sentence that fails."""
    table = Table("", "passed", "fails, with its stars", title="what a reader expects")
    for family in families:
        failing = escape(family.failing[0]) if family.failing else ""
        table.add_row(family.name, f"{family.passed} of {family.checks}", failing)
    return table


def comparison(ours: Mapping[str, float], baseline: Mapping[str, float], train_rows: int) -> str:
    """Return a sentence on where a model is better than TF-IDF + logistic regression, and what to do if it is not.

    Args:
        ours: the figures of the model.
        baseline: those of the baseline on the same texts.
        train_rows: how many texts both were trained on.
    """
    lost = lost_to(ours, baseline)
    if {"accuracy", "macro_f1"} <= {*lost}:
        return (
            f"TF-IDF beats this model on {_and(lost)}: {train_rows:,} training texts are few; add reviews, "
            '--unlabelled texts or a --warm-start (trainer/README.md, "Few reviews")'
        )
    equal = sum(ours[name] == baseline[name] for name in ours)
    better = f"better than TF-IDF on {len(ours) - len(lost) - equal} of {len(ours)}"
    return better + (f", equal on {equal}" if equal else "") + (f", but worse on {_and(lost)}" if lost else "")


def _and(names: Sequence[str]) -> str:
    """Return names as words: `accuracy, macro-F1 and MAE`."""
    shown = [_SHOWN.get(name, name) for name in names]
    shown = [name.upper() if len(name) == 3 else name for name in shown]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def classes_table(evaluation: Evaluation) -> Table:
    """Return each label's precision, recall, F1, support, and of a label model its average precision."""
    table = Table(title="by label")
    fields = [label.to_fields() for label in evaluation.classes]
    for name in fields[0]:
        table.add_column(name.replace("_", " "), justify="right")
    for found in fields:
        table.add_row(*(f"{value:.3f}" if isinstance(value, float) else str(value) for value in found.values()))
    return table


def verdict_table(title: str, verdict: Verdict) -> Table:
    """Return every row the gate compared, the failing ones marked."""
    table = Table("", "current", "new", "worse by", "allowed", "", title=title)
    for row in verdict.rows:
        outcome = "passes" if row.passed else "[bold]FAILS[/bold]"
        table.add_row(row.name, row.current, row.new, row.worse_by, row.allowed, outcome)
    return table


def _cell(value: float, *, bold: bool) -> str:
    shown = f"{value:z.3f}"  # z: no "-0.000"
    return f"[bold]{shown}[/bold]" if bold else shown
