"""A model's figures by group: what was reviewed, or what `--group-field` names.

Owns which groups are shown. A mean over all texts hides the app on which a model is bad; `gate` limits the worst one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from schemas.encoding import tokens
from schemas.label_decision import AnyDecision
from trainer.evaluation.metrics import Evaluation, evaluation_of
from trainer.text.vocabulary import script_of

FEWEST = 50  # texts; the figures of fewer are mostly chance
MOST = 6  # groups in a table
OTHERS = "all others"


def figures_by_group(
    evaluation: Evaluation, groups: Sequence[str], decision: AnyDecision
) -> dict[str, tuple[int, dict[str, float]]]:
    """Return how many texts each group has and their figures, the largest group first; empty when there is one group.

    Groups of fewer than `FEWEST` texts are counted as one, and left out when all of them are fewer still.

    Args:
        evaluation: of N texts.
        groups: of each text; "" where it is not known. Empty: no text has one.
        decision: of the model.
    """
    counts = Counter(groups)
    if len(counts) < 2:
        return {}
    large = [name for name, count in counts.most_common() if count >= FEWEST]
    names = np.array([name if counts[name] >= FEWEST else OTHERS for name in groups])
    found = {}
    for name in [*large, OTHERS]:
        inside = names == name
        if inside.sum() >= FEWEST:
            at = np.flatnonzero(inside)
            of_group = evaluation_of(evaluation.scores.at(at), evaluation.targets[at], decision)
            found[name or "(none)"] = len(at), of_group.figures
    return found


def scripts_of(texts: Sequence[str]) -> list[str]:
    """Return the script that most letters of each text are in, as "Cyrillic script"; "no letters" without any."""
    names: list[str] = []
    for text in texts:
        counts: Counter[str] = Counter()
        for word in tokens(text):
            counts[script_of(word)] += len(word)
        del counts[""]
        names.append(f"{counts.most_common(1)[0][0].capitalize()} script" if counts else "no letters")
    return names


def shown(found: dict[str, tuple[int, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return the figures of at most `MOST` groups by a title with their number of texts: the worst by accuracy."""
    worst = sorted(found.items(), key=lambda item: item[1][1]["accuracy"])[:MOST]
    return {f"{name} ({count})": figures for name, (count, figures) in worst}
