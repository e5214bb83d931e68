"""What a person should know before trusting a model that passes every limit of the gate.

Owns these sentences; `gate` shows them as notes and the report at its top. They never refuse: small data is small.
"""

from __future__ import annotations

from collections.abc import Mapping

from trainer.evaluation.metrics import Evaluation, best

LEAST_SHARE = 0.05  # a part whose logits have a smaller weight does not change ratings that are not near ties
NAMES = {"macro_f1": "macro-F1", "micro_f1": "micro-F1", "mae": "MAE", "qwk": "kappa", "ece": "ECE", "nll": "NLL"}


def lost_to(ours: Mapping[str, float], baseline: Mapping[str, float]) -> list[str]:
    """Return the figures on which a baseline is better."""
    return [name for name in ours if best(name, [ours[name], baseline[name]]) != ours[name]]


def doubts(
    evaluation: Evaluation, tfidf: Mapping[str, float] | None, shares: tuple[float, float], *, wide: bool
) -> list[str]:
    """Return one sentence for each doubt about a model.

    Args:
        evaluation: of the held-out texts.
        tfidf: figures of TF-IDF and logistic regression on the same; None when it was not fitted.
        shares: weights of the recurrent and the wide part in the sum.
        wide: whether there is a wide part.
    """
    found = []
    lost = lost_to(evaluation.figures, tfidf) if tfidf is not None else []
    if "accuracy" in lost or 2 * len(lost) > len(evaluation.figures):
        shown = ", ".join(NAMES.get(name, name.replace("_", " ")) for name in lost)
        found.append(f"TF-IDF + logistic regression is better on {shown}: the network does not pay on this data yet")
    if wide:
        for part, share in zip(("recurrent", "wide"), shares, strict=True):
            if share < LEAST_SHARE:
                found.append(f"the {part} part has a weight of {share:.2f} in the sum: it contributes nothing")
    return [*found, *untested(evaluation)]


def untested(evaluation: Evaluation) -> list[str]:
    """Return a sentence on the labels that no text has; empty when each has one."""
    missing = [str(label.label) for label in evaluation.classes if not label.support]
    shown = f"no held-out text has the label {', '.join(missing)}: nothing is known of how well it is found"
    return [shown] if missing else []
