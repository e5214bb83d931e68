"""The command `promote`: a channel moves to a version when the gate passes.

Owns which verdict counts: the gate's on the reviews of `--data`, else that of the version's own training. Never loads
TensorFlow.
"""

from __future__ import annotations

import sys

from schemas.bundle import BundleError
from schemas.manifest import Manifest
from trainer.commands.registry_settings import PromoteSettings
from trainer.console import Screen
from trainer.data.held_out import labelled
from trainer.data.targets import Names
from trainer.errors import Exit, GateError
from trainer.evaluation.doubts import untested
from trainer.evaluation.gate import Contender, Row, other_labels
from trainer.evaluation.tables import verdict_table
from trainer.export.runtime import open_interpreter
from trainer.publish.channel import contender, serving_now, verdict_on
from trainer.registry.history import Change, Why
from trainer.registry.open import open_registry
from trainer.registry.registry import Registry


def promote(settings: PromoteSettings) -> int:
    """Point a channel at a version; with `data` only when the gate passes."""
    registry = open_registry(settings.registry)
    registry.require_channel(settings.channel, new=settings.new_channel)
    version = registry.resolve(settings.version)
    registry.bundle(version).load(open_interpreter)  # a channel never moves to a version that cannot serve
    expected = registry.channels().get(settings.channel)
    refusals = _refusals(registry, version, settings)
    if refusals and not settings.force:
        raise GateError(f"{settings.channel} did not move: {'; '.join(refusals)}. --force moves it anyway")
    why = Why(action="promote", message=settings.message, forced=bool(refusals), refusals=refusals)
    print_move(registry.point(settings.channel, version, why, expected))
    return Exit.OK


def print_move(change: Change) -> None:
    """Print the move of a channel."""
    sys.stdout.write(f"{change}{', forced' if change.forced else ''}\n")


def _refusals(registry: Registry, version: str, settings: PromoteSettings) -> list[str]:
    """Return why the channel should not move: the gate's failing rows, of now with `data`, else of the training."""
    manifest = registry.manifest(version)
    labels, compared = manifest.decision.labels, settings.compared_channel(settings.channel)
    if settings.data:
        part = labelled(settings.evaluation(), manifest)
        new = contender(registry, version, part, labels)
        assert isinstance(new, Contender)  # noqa: S101 - the labels are its own
        doubted = [*_doubts_of_training(manifest), *untested(new.evaluation)]
        verdict = verdict_on(new, serving_now(registry, compared, part, labels), labels, part, settings, doubted)
    else:
        serving = registry.channels().get(compared)
        current = _labels(registry, serving)
        if current is None or current == labels:
            return _refused_in_training(manifest, serving)
        verdict = other_labels(labels, current)
    screen = Screen()
    screen.result(verdict_table(f"may {settings.channel} move to {version}?", verdict))
    for note in verdict.notes:
        screen.result(note)
    return verdict.refusals


def _refused_in_training(manifest: Manifest, serving: str | None) -> list[str]:
    """Return why the gate of the version's own training refuses it, if that compared it with the serving version."""
    screen = Screen()
    against, rows = manifest.training.get("gate_against"), manifest.training.get("gate")
    for doubt in _doubts_of_training(manifest):
        screen.say(doubt)
    if serving is None or rows is None or against != serving:
        screen.say("no --data: the gate did not run, and only the labels were compared; --data held_out.csv runs it")
        return []
    refusals = [Row(**row).refusal for row in rows if not row["passed"]]
    if not refusals:
        screen.say(f"no --data: the gate passed when {manifest.version} was trained, against {against}")
    return refusals


def _doubts_of_training(manifest: Manifest) -> list[str]:
    """Return what its training said a person should know; empty for versions older than this record."""
    return [f"when it was trained: {doubt}" for doubt in manifest.training.get("doubts", [])]


def _labels(registry: Registry, version: str | None) -> Names | None:
    try:
        return None if version is None else registry.manifest(version).decision.labels
    except BundleError:
        return None  # a damaged version must not keep a sound one from replacing it
