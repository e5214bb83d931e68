"""Explains ratings on request, apart from the models that rate: each version with an interpreter of its own.

Owns these models; one is loaded when it is first asked for. `schemas.reasons` does the work, and the command `explain`
and the front call this.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

from schemas.bundle import BundleError
from schemas.inference import Model
from schemas.label_decision import LabelDecision
from schemas.prediction import Prediction, prediction_values
from schemas.reasons.explain import Explanation, explain
from schemas.reasons.wide import WidePart, read_wide
from worker.errors import ModelError
from worker.model.halving import REFUSALS
from worker.model.registry import fetch_bundle
from worker.model.runtime import load_runtime
from worker.settings import WorkerSettings

_MOST_VERSIONS: Final = 3  # loaded at once: stable, the one before it, and a candidate
# A text costs a rating for each of its tokens: 0.5 ms at 9 tokens, 40 ms at 256.
MOST_TEXTS: Final = 32


@dataclass(frozen=True, slots=True)
class Explained:
    """A prediction, with what its words do."""

    prediction: Prediction
    explanation: Explanation
    about: str  # what effects add to: `the stars`, or a label's probability

    def to_fields(self) -> dict[str, Any]:
        """Return the fields as JSON has them."""
        return {**self.prediction.to_fields(), "explanation": self.explanation_fields()}

    def explanation_fields(self) -> dict[str, Any]:
        """Return the fields of the explanation; of a label model also the label that it is about."""
        label = {} if self.prediction.labels is None else {"label": self.about}
        return {**label, **self.explanation.to_fields()}


class Explainer:
    """Explains by any version of the registry. For one thread."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._models: OrderedDict[str, tuple[Model, WidePart | None, float]] = OrderedDict()

    def explain(self, text: str, version: str) -> Explained:
        """Explain what a version says of a text that can be rated; blocks.

        Raises:
            ModelError: there is no such version, it must not serve, or it refuses the text.
        """
        model, wide, least = self._model(version)
        try:
            found = explain(model, wide, text)
        except REFUSALS as error:
            raise ModelError("text: the model refused it") from error
        (values,) = prediction_values(found.scores, model.decision, version, least)
        return Explained(Prediction(*values), found, _about(model, found))

    def _model(self, version: str) -> tuple[Model, WidePart | None, float]:
        if version not in self._models:
            runtime, interpreter_factory = load_runtime(self._settings.runtime)
            bundle = fetch_bundle(self._settings.registry, version)
            try:
                model = bundle.load(interpreter_factory)
            except BundleError as error:
                raise ModelError(f"{error} ({runtime})") from error
            tensors: Any = interpreter_factory(bundle.model)
            wide = read_wide(tensors, model.encoder.size, len(model.decision.labels))
            self._models[version] = model, wide, bundle.manifest.least_confidence(self._settings.min_confidence)
            while len(self._models) > _MOST_VERSIONS:
                self._models.popitem(last=False)
        self._models.move_to_end(version)
        return self._models[version]


def _about(model: Model, found: Explanation) -> str:
    decision = model.decision
    if not isinstance(decision, LabelDecision):
        return "the stars"
    return decision.labels[decision.aim(found.scores.probabilities[0], found.scores.choices[0])]
