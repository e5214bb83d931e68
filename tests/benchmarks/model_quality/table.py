"""The tables, as Markdown: mean and spread over the seeds, with the baselines of the same splits above each default.

Owns the layout. Each row names its seeds; cases without a result are left out.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from tests.benchmarks.model_quality.cases import SETS, UNLABELLED, Case
from tests.benchmarks.model_quality.runs import Found

FIGURES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "mae": "MAE",
    "qwk": "kappa",
    "within_one": "within 1",
    "ece": "ECE",
}
BASELINES = {
    "majority": "always the most common",
    "tfidf_logistic": "TF-IDF + LR",
    "tfidf_logistic_balanced": "the same, class-balanced",
}
LABEL_FIGURES = {
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
    "average_precision": "average precision",
    "accuracy": "all labels right",
    "ece": "ECE",
    "label_ece": "the labels' ECE",
}
LABEL_BASELINES = {
    "majority": "each label's share",
    "tfidf_logistic": "TF-IDF + one LR a label, from 0.5 on",
    "tfidf_logistic_thresholds": "the same, with fitted thresholds",
}
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
LABELS_BEGIN, LABELS_END = "<!-- labels: begin -->", "<!-- labels: end -->"


def page(found: Mapping[Case, Found]) -> str:
    """Return the tables of all results, one for each question, then the variants."""
    with_unlabelled = ", ".join(name for name, files in SETS.items() if ("--unlabelled", UNLABELLED) in files)
    note = "more words and their vectors; the baselines do not read it"
    parts = [f"With `--unlabelled {UNLABELLED}` ({note}): {with_unlabelled}."]
    for question in dict.fromkeys(case.question for case in found):
        mine = {case: result for case, result in found.items() if case.question == question}
        parts.append(f"#### {question}\n\n" + "\n".join(_rows(mine, found)))
    parts.append("#### variants\n\n" + "\n".join(_variants(found)))
    return "\n\n".join(parts) + "\n"


def labels_page(found: Mapping[Case, Found]) -> str:
    """Return the table of the sets of named labels, then each label of each set."""
    lines = [
        f"| set | model | {' | '.join(LABEL_FIGURES.values())} | seeds | seconds | CPU s |",
        "|---|---|" + "---:|" * (len(LABEL_FIGURES) + 3),
    ]
    by_label = []
    for reviews in dict.fromkeys(case.reviews for case in found):
        cases = [case for case in found if case.reviews == reviews]
        results = [found[case] for case in cases]
        for key, title in LABEL_BASELINES.items():
            figures = [result["baselines"][key] for result in results]
            lines.append(_row(reviews, title, figures, cases, None, LABEL_FIGURES))
        figures = [result["metrics"] for result in results]
        lines.append(_row(reviews, f"**{cases[0].name}**", figures, cases, results, LABEL_FIGURES))
        by_label += ["", f"| {reviews} | F1 | average precision | test texts |", "|---|---:|---:|---:|"]
        for same in zip(*(result["classes"] for result in results), strict=True):
            cells = [_spread([label[name] for label in same]) for name in ("f1", "average_precision")]
            by_label.append(f"| {same[0]['label']} | {' | '.join(cells)} | {same[0]['support']} |")
    return "\n".join([*lines, *by_label]) + "\n"


def _rows(mine: Mapping[Case, Found], everything: Mapping[Case, Found]) -> list[str]:
    lines = [
        "| set | model | " + " | ".join(FIGURES.values()) + " | seeds | seconds | CPU s |",
        "|---|---|" + "---:|" * (len(FIGURES) + 3),
    ]
    for reviews, name in dict.fromkeys((case.reviews, case.name) for case in mine):
        cases = [case for case in mine if (case.reviews, case.name) == (reviews, name)]
        results = [mine[case] for case in cases]
        if results[0]["baselines"]:
            for key, title in BASELINES.items():
                lines.append(_row(reviews, title, [result["baselines"][key] for result in results], cases, None))
        else:
            lines += _default_row(reviews, cases, everything)
        lines.append(_row(reviews, f"**{name}**", [result["metrics"] for result in results], cases, results))
    return lines


def _default_row(reviews: str, cases: Sequence[Case], everything: Mapping[Case, Found]) -> list[str]:
    """Return the default's row on the same set and seeds, if it was run; above the first row of a set only."""
    seeds = {case.seed for case in cases}
    defaults = {c: r for c, r in everything.items() if (c.question, c.reviews) == ("default", reviews)}
    same = {case: result for case, result in defaults.items() if case.seed in seeds}
    if not same or cases[0].name != _first_name(cases[0], everything):
        return []
    return [_row(reviews, "default", [result["metrics"] for result in same.values()], list(same), None)]


def _first_name(case: Case, everything: Mapping[Case, Found]) -> str:
    return next(c.name for c in everything if (c.question, c.reviews) == (case.question, case.reviews))


def _row(
    reviews: str,
    name: str,
    figures: Sequence[Mapping[str, float]],
    cases: Sequence[Case],
    runs: Sequence[Found] | None,
    columns: Mapping[str, str] = FIGURES,
) -> str:
    cells = [_spread([found[figure] for found in figures]) for figure in columns]
    seeds = " ".join(str(case.seed) for case in cases)
    took = ["", ""]
    if runs:
        wall = statistics.mean(sum(run["seconds"].values()) for run in runs)
        took = [f"{wall:.0f}", f"{statistics.mean(run['cpu_seconds'] for run in runs):.0f}"]
    return f"| {reviews} | {name} | {' | '.join([*cells, seeds, *took])} |"


def _spread(values: Sequence[float]) -> str:
    mean = f"{statistics.mean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.3f}"


def _variants(found: Mapping[Case, Found]) -> list[str]:
    columns = (
        *("set", "seed", "variant", "published", "MB", "difference from Keras", "ratings changed, validation"),
        *("ratings changed, test", "of", "test accuracy", "reviews/s"),
    )
    lines = [f"| {' | '.join(columns)} |", "|---|---:|---|---|---:|---:|---:|---:|---:|---:|---:|"]
    for case, result in found.items():
        if case.question == "default":
            lines += [_variant(case, variant, result["variant"]) for variant in result["variants"]]
    return lines


def _variant(case: Case, found: Found, published: str) -> str:
    cells = (
        *(case.reviews, str(case.seed), found["variant"], "yes" if found["variant"] == published else ""),
        *(f"{found['size_bytes'] / 1e6:.2f}", f"{found['probability_error']:.1e}", str(found["changed"])),
        *(str(found["test_changed"]), str(found["test_rows"]), f"{found['test_accuracy']:.4f}"),
        f"{found['reviews_per_s']:.0f}",
    )
    return f"| {' | '.join(cells)} |"
