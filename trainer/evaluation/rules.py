"""Decision rules side by side: what the served rule gives, and what the likeliest and the median star would give.

Owns their names. All read the same probabilities of the same texts, so a difference is the rule's alone.
"""

from __future__ import annotations

from schemas.decision import Decision, zero_one_costs
from schemas.label_decision import AnyDecision, LabelDecision
from trainer.evaluation.metrics import Evaluation, all_figures

SERVED, LIKELIEST, MEDIAN = "served rule", "likeliest star", "median star"


def median_costs(count: int) -> list[list[float]]:
    """Return the costs `|j - k|`, with which the decision is the median of the distribution."""
    return [[float(abs(true - rated)) for rated in range(count)] for true in range(count)]


def compare_rules(evaluation: Evaluation, served: AnyDecision) -> dict[str, dict[str, float]]:
    """Return the figures of each rule on the texts of an evaluation; empty of a label model."""
    if isinstance(served, LabelDecision):
        return {}
    count, scores = len(served.labels), evaluation.scores
    rules = {
        SERVED: served,
        LIKELIEST: Decision(labels=served.labels, costs=zero_one_costs(count)),
        MEDIAN: Decision(labels=served.labels, costs=median_costs(count)),
    }
    return {
        name: all_figures(scores.probabilities, rule.choices(scores.probabilities), evaluation.targets, served.labels)
        for name, rule in rules.items()
    }
