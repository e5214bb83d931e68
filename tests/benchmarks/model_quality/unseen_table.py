"""The tables of what no set of a model's own holds out, as Markdown: other apps, apps left out, sentences of people.

Owns their layout, the bootstrap, and the goals that the tables are read against.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.benchmarks.model_quality.cases import APPS, ELSEWHERE, LEFT_OUT, PEOPLE, Case
from tests.benchmarks.model_quality.runs import Found
from trainer.evaluation.metrics import figures, figures_of

BEGIN, END = "<!-- unseen: begin -->", "<!-- unseen: end -->"
COLUMNS = {"accuracy": "accuracy", "macro_f1": "macro-F1", "mae": "MAE", "qwk": "kappa"}
WHO = {"baseline": "TF-IDF + LR", "model": "**default**"}
STARS = [1, 2, 3, 4, 5]
DRAWS = 2000
GOALS = {"accuracy": 0.015, "qwk": 0.04}  # above TF-IDF + LR, pooled over the apps left out
# What one rule is to reach in both groups of other_apps: accuracy, macro-F1, MAE, kappa.
REACH = {"gp_edtech": (0.735, 0.40, 0.60, 0.75), "gp_multiapp_en": (0.67, 0.42, 0.63, 0.75)}
# Correlation with the mean of 20 people: published of VADER and of one person (Hutto & Gilbert 2014), and half-way.
PUBLISHED = {"amazon": (0.57, 0.91), "films": (0.45, 0.90)}

Indices = npt.NDArray[np.intp]


def unseen_page(found: Mapping[Case, Found]) -> str:
    """Return the tables that have results."""
    parts = [part for part in (_elsewhere(found), _left_out(found), _people(found)) if part]
    return "\n\n".join(parts) + "\n"


def _elsewhere(found: Mapping[Case, Found]) -> str:
    cases = [case for case in found if case.question == "default" and "elsewhere" in found[case]]
    if not cases:
        return ""
    lines = []
    for reviews in dict.fromkeys(case.reviews for case in cases):
        mine = [case for case in cases if case.reviews == reviews]
        results = [found[case]["elsewhere"] for case in mine]
        for group, first in results[0].items():
            name = f"{ELSEWHERE[reviews][0]}, {group} ({first['reviews']:,})"
            for who, title in WHO.items():
                cells = [_spread([result[group][who][column] for result in results]) for column in COLUMNS]
                lines.append(f"| {reviews} | {name} | {title} | {' | '.join(cells)} | {_seeds(mine)} |")
            if group in REACH:
                cells = [f"{value:.3f}" for value in REACH[group]]
                lines.append(f"| {reviews} | {name} | goal | {' | '.join(cells)} | |")
    head = ["trained on", "judged on", "model", *COLUMNS.values(), "seeds"]
    return _table("other apps", head, 3, lines)


def _left_out(found: Mapping[Case, Found]) -> str:
    parts = []
    for seed in dict.fromkeys(case.seed for case in found if case.question == LEFT_OUT):
        by_app = {
            case.name: found[case]["left_out"] for case in found if (case.question, case.seed) == (LEFT_OUT, seed)
        }
        lines, complete = [], len(by_app) == len(APPS)
        together = {"**all, pooled**": pooled([*by_app.values()])} if complete else {}
        for app, result in {**by_app, **together}.items():
            targets = np.array(result["targets"], dtype=np.intp)
            for who, title in WHO.items():
                values = figures(targets, np.array(result[who], dtype=np.intp), STARS)
                cells = " | ".join(f"{values[column]:.3f}" for column in COLUMNS)
                lines.append(f"| {app} | {len(targets):,} | {title} | {cells} |")
        title = f"{LEFT_OUT} of app_reviews, seed {seed}"
        parts.append(_table(title, ["app", "reviews", "model", *COLUMNS.values()], 1, lines))
        if complete:
            parts.append(_gain([*by_app.values()]))
    return "\n\n".join(parts)


def _gain(results: Sequence[Mapping[str, list[int]]]) -> str:
    low_high, said = interval(results), []
    both = {who: _table_of(pooled(results), who) for who in WHO}
    for column, goal in GOALS.items():
        gain = figures_of(both["model"], STARS)[column] - figures_of(both["baseline"], STARS)[column]
        low, high = low_high[column]
        said.append(f"{COLUMNS[column]} {gain:+.3f} (95% interval {low:+.3f} to {high:+.3f}, goal {goal:+.3f})")
    drawn = f"The interval is of a bootstrap that draws whole apps; with {len(results)} apps it is a rough one."
    return f"The network against TF-IDF + LR: {'; '.join(said)}. {drawn}"


def pooled(results: Sequence[Mapping[str, list[int]]]) -> dict[str, list[int]]:
    """Return the reviews of all apps as one."""
    return {name: [value for result in results for value in result[name]] for name in results[0]}


def interval(results: Sequence[Mapping[str, list[int]]]) -> dict[str, tuple[float, float]]:
    """Return the 95% interval of each gain over the baseline, by drawing whole apps with replacement."""
    tables = {who: np.stack([_table_of(result, who) for result in results]) for who in WHO}
    random = np.random.default_rng(0)
    gains: dict[str, list[float]] = {column: [] for column in GOALS}
    for _ in range(DRAWS):
        drawn = random.integers(0, len(results), len(results))
        model, baseline = (figures_of(tables[who][drawn].sum(axis=0), STARS) for who in ("model", "baseline"))
        for column, values in gains.items():
            values.append(model[column] - baseline[column])
    return {column: _ends(values) for column, values in gains.items()}


def _ends(values: Sequence[float]) -> tuple[float, float]:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def _table_of(result: Mapping[str, list[int]], who: str) -> npt.NDArray[np.float64]:
    counts = np.zeros((len(STARS), len(STARS)))
    np.add.at(counts, (np.array(result["targets"], dtype=np.intp), np.array(result[who], dtype=np.intp)), 1)
    return counts


def _people(found: Mapping[Case, Found]) -> str:
    cases = [case for case in found if case.question == PEOPLE]
    if not cases:
        return ""
    results: list[dict[str, Any]] = [found[case]["people"] for case in cases]
    lines = []
    for kind, (vader, person) in PUBLISHED.items():
        ours = _spread([result[kind]["correlation"] for result in results])
        count = round(statistics.mean(result[kind]["sentences"] for result in results))
        goal = (vader + person) / 2
        cells = f"{count:,} | **{ours}** | {vader:.2f} | {goal:.3f} | {person:.2f}"
        lines.append(f"| {kind} | {cells} | {_seeds(cases)} |")
    head = ["sentences of", "held out", "this model", "VADER, published", "goal: half-way", "one person, published"]
    title = "correlation of the expected rating with the mean of 20 people"
    return _table(title, [*head, "seeds"], 1, lines)


def _table(title: str, head: Sequence[str], words: int, lines: Sequence[str]) -> str:
    rule = "|" + "---|" * words + "---:|" * (len(head) - words)
    return "\n".join([f"#### {title}", "", f"| {' | '.join(head)} |", rule, *lines])


def _seeds(cases: Sequence[Case]) -> str:
    return " ".join(str(case.seed) for case in cases)


def _spread(values: Sequence[float]) -> str:
    mean = f"{statistics.mean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.3f}"
