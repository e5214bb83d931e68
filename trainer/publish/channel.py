"""From an evaluated model to a channel: the version it points at now, the gate's verdict on the two, and the move.

Owns the order: a version goes into the registry first, and the channel moves last, only when the gate passes or a
person forces it. Never trains, and has no limits of its own: `evaluation.gate` has. Works without TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from schemas.bundle import BundleError
from schemas.inference import Model
from schemas.manifest import Manifest
from trainer.data.dataset import Dataset, Part
from trainer.data.targets import Names
from trainer.errors import ConflictError, GateError
from trainer.evaluation.gate import Contender, Verdict, decide, other_labels
from trainer.evaluation.metrics import Evaluation, evaluate
from trainer.export.parity import TOLERANCES, Parity
from trainer.export.runtime import open_interpreter
from trainer.registry.history import Change, Why
from trainer.registry.registry import Registry
from trainer.settings import GateSettings, TrainSettings

NO_CHANNEL = "none"


class Serving(NamedTuple):
    """The version that a channel points at, as far as it can be evaluated."""

    version: str | None = None  # None when there is no such channel
    contender: Contender | None = None  # evaluated on the held-out texts; None when it cannot be
    labels: Names | None = None  # of the version; None when it cannot be read
    held_out: bool = True  # whether those texts were held out of its training too
    notes: tuple[str, ...] = ()  # why it cannot be evaluated, or what limits the comparison


def serving_now(registry: Registry, channel: str, part: Part, labels: Names) -> Serving:
    """Evaluate the version that a channel points at, if it has these labels.

    A damaged version must not keep a sound one from replacing it: the notes name it, and nothing is compared.
    """
    version = registry.channels().get(channel)
    if version is None:
        return Serving(notes=(f"{channel} points at no version yet: only the limits were checked",))
    try:
        found = contender(registry, version, part, labels)
    except BundleError as error:
        return Serving(version, notes=(f"{channel} points at a damaged version, not compared: {error}",))
    if not isinstance(found, Contender):
        return Serving(version, labels=found)
    return Serving(version, found, labels)


def contender(registry: Registry, version: str, part: Part, labels: Names) -> Contender | Names:
    """Evaluate a published version on labelled texts; return its labels instead when they differ from `labels`.

    Raises:
        BundleError: it is damaged.
    """
    bundle = registry.bundle(version)
    model = bundle.load(open_interpreter)
    if model.decision.labels != labels:
        return model.decision.labels
    return Contender(version, model, evaluate(model, part), len(bundle.model), _parity(bundle.manifest))


def verdict_on(
    new: Contender,
    serving: Serving,
    labels: Names,
    part: Part,
    settings: GateSettings,
    doubts: Sequence[str] = (),
) -> Verdict:
    """Return the gate's verdict on the held-out texts, with the doubts as notes; other labels are refused."""
    if serving.labels is not None and serving.labels != labels:
        return other_labels(labels, serving.labels)
    notes = [*doubts, *serving.notes]
    if not serving.held_out:
        notes.append(
            f"{serving.version} was not trained with this split: it may have learned some of these texts, "
            "which favours it"
        )
    return decide(new, serving.contender, part, settings, notes)


def ask_gate(
    registry: Registry, settings: TrainSettings, dataset: Dataset, new: Contender, doubts: Sequence[str]
) -> tuple[Serving, Verdict | None]:
    """Compare a run's model with the version it would replace, on the test side; no verdict without a channel."""
    if settings.channel == NO_CHANNEL:
        return Serving(), None
    serving = serving_now(registry, settings.compared_channel(settings.channel), dataset.test, dataset.labels)
    if serving.contender is not None:
        manifest = registry.manifest(serving.contender.version)
        serving = serving._replace(held_out=_same_split(manifest, settings, dataset))
    return serving, verdict_on(new, serving, dataset.labels, dataset.test, settings, doubts)


def contender_of(model: Model, evaluation: Evaluation, parity: Parity) -> Contender:
    """Return a run's own model as the gate sees it."""
    difference = (parity.probability_error, TOLERANCES[parity.variant])
    return Contender("this run", model, evaluation, parity.size_bytes, difference)


def move(registry: Registry, channel: str, version: str, why: Why, expected: str | None) -> Change:
    """Move the channel, if it still points where it did when the gate compared the versions.

    Raises:
        GateError: the gate refuses, and the move is not forced.
        ConflictError: somebody moved the channel meanwhile; the version is in the registry.
    """
    if why.refusals and not why.forced:
        raise GateError(
            f"{version} is in the registry, and {channel} did not move: {'; '.join(why.refusals)}. To move it anyway: "
            f"promote --version {version} --channel {channel} --force --message ..."
        )
    try:
        return registry.point(channel, version, why, expected)
    except ConflictError as error:
        raise ConflictError(
            f"{error}. {version} is in the registry; compare it with the channel's new version: "
            f"promote --version {version} --channel {channel} --data held_out.csv"
        ) from error


def _same_split(before: Manifest, settings: TrainSettings, dataset: Dataset) -> bool:
    """Whether a version's training held out the texts that this run holds out.

    The split is a function of a text and the seed, so added rows change nothing; an official test must be the same.
    """
    trained = before.training.get("settings", {})
    names = ("seed", "validation_share", "test_share")
    if any(trained.get(name) != getattr(settings, name) for name in names):
        return False
    tests = {path.name for path in settings.test_data}
    if tests != set(trained.get("test_data", [])):
        return False
    return all(before.data.files.get(name) == dataset.fingerprint.files.get(name) for name in tests)


def _parity(manifest: Manifest) -> tuple[float, float] | None:
    for variant in manifest.training.get("variants", []):
        if variant.get("variant") == manifest.variant and "probability_error" in variant:
            return float(variant["probability_error"]), TOLERANCES[manifest.variant]
    return None
