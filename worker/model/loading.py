"""Loads the bundle that the settings name.

Owns the path from `WORKER_MODEL_VERSION`, `WORKER_CHANNEL` and `WORKER_STARTER` to a verified classifier.
`worker.wiring` adds what a running worker needs on top (reload, shadow, drift); `predict`, `check` and `replay` stay on
this one version.
"""

from __future__ import annotations

from schemas.starter import starter_version
from worker.clock import Clock
from worker.model.classifier import TfliteClassifier
from worker.model.registry import fetch_bundle, resolve_version
from worker.model.remarks import RatingOptions
from worker.model.runtime import load_runtime
from worker.ops.metrics import Metrics
from worker.settings import WorkerSettings


def with_starter(settings: WorkerSettings) -> WorkerSettings:
    """Return the settings of a command that rates with the starter unless that is switched off."""
    return settings.model_copy(update={"starter": "on"}) if settings.starter == "auto" else settings


def starter_remark(settings: WorkerSettings, version: str) -> str | None:
    """Return what to say when the starter rates; None when another version does."""
    if version != starter_version():
        return None
    how = f"starstream-trainer train --data reviews.csv --registry {settings.registry}"
    return f"this is the starter, trained on reviews of apps and of a shop; train one on yours: {how}"


def serving_version(settings: WorkerSettings) -> str:
    """Return the version that the settings name; the starter's, where they allow it and the registry is empty.

    Raises:
        RegistryError: there is no registry, no channels file, or no such channel.
    """
    starter = settings.starter == "on"
    return settings.model_version or resolve_version(settings.registry, settings.channel, starter=starter)


def load_version(settings: WorkerSettings, version: str, metrics: Metrics, clock: Clock) -> TfliteClassifier:
    """Return the classifier of a version, verified.

    Raises:
        ModelError: the version does not exist, or must not serve.
    """
    runtime, interpreter_factory = load_runtime(settings.runtime)
    return TfliteClassifier(
        fetch_bundle(settings.registry, version),
        interpreter_factory,
        runtime=runtime,
        metrics=metrics,
        clock=clock,
        options=RatingOptions(settings.min_confidence, settings.reasons),
    )


def load_classifier(settings: WorkerSettings, metrics: Metrics, clock: Clock) -> TfliteClassifier:
    """Return the classifier that the settings name.

    Raises:
        ModelError: there is no bundle, or it must not serve.
    """
    return load_version(settings, serving_version(settings), metrics, clock)
