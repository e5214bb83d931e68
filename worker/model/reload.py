"""Watches the registry's channels from a thread, and prepares the versions they name; the loop swaps between batches.

Owns which models are in memory: the stable version, the previous one (for an instant return), and the candidate. A
version is fetched, verified, compared in its labels, warmed up and tested with its golden set on this thread and on an
interpreter of its own; only then is it offered. A version that fails is refused with its reason, logged once, and tried
again when the channel moves or after a pause; the serving one stays. Never touches the loop: it offers a `Lineup`, and
`worker.model.serving` takes it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from worker.clock import Clock
from worker.errors import ModelError, RegistryError
from worker.model.classifier import TfliteClassifier
from worker.ops.health import Health
from worker.ops.logs import Log
from worker.ops.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Lineup:
    """The models of one batch: the one whose ratings are published, and the one in shadow."""

    stable: TfliteClassifier
    candidate: TfliteClassifier | None = None


@dataclass(frozen=True, slots=True)
class Watch:
    """Which channels are watched, and how often."""

    channel: str | None  # names the stable version; None: the first one serves until the process ends
    shadow_channel: str | None  # names the candidate; None: there is none
    interval_s: float  # between two checks
    retry_s: float  # before a refused version is tried again while its channel still names it


@dataclass(frozen=True, slots=True)
class _Refusal:
    version: str
    retry_at: float


@dataclass(frozen=True, slots=True)
class Registry:
    """What the reloader needs of the registry."""

    channels: Callable[[], Mapping[str, str]]  # returns which version each channel names; raises `RegistryError`
    load: Callable[[str], TfliteClassifier]  # returns a verified version; raises `ModelError`


class Reloader:
    """Offers the lineup that the channels name.

    Attributes:
        lineup: what is offered; replaced as a whole, so that the loop may read it at any time.
    """

    def __init__(
        self,
        serving: TfliteClassifier,
        watch: Watch,
        registry: Registry,
        *,
        clock: Clock,
        metrics: Metrics,
        health: Health,
        log: Log,
    ) -> None:
        self.lineup = Lineup(serving)
        self._watch = watch
        self._registry = registry
        self._clock = clock
        self._models = metrics.models
        self._health = health
        self._log = log
        self._loaded: dict[str, TfliteClassifier] = {serving.version: serving}
        self._previous: str | None = None  # the stable version before this one
        self._refusals: dict[str, _Refusal] = {}
        self._unreachable: str | None = None  # why the registry did not answer at the last check

    def start(self, stop: threading.Event) -> None:
        """Check the channels from a daemon thread until `stop`."""
        threading.Thread(target=self._run, args=(stop,), name="reload", daemon=True).start()

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self.check()
            stop.wait(self._watch.interval_s)

    def check(self) -> None:
        """Read the channels once, and offer what they name as far as it can be loaded. Blocks while it loads."""
        self._unreachable = None
        try:
            channels = self._registry.channels()
            stable = self._stable_version(channels)
        except RegistryError as error:
            self._unreachable = str(error)
        except Exception as error:  # noqa: BLE001  (fsspec's packages raise anything; a dead thread would go unnoticed)
            self._unreachable = f"WORKER_REGISTRY: {type(error).__name__}: {error}"
        else:
            serving = self._get("stable", stable) or self.lineup.stable
            self._offer(Lineup(serving, self._candidate(channels, serving)))
        self._report_registry()

    def _candidate(self, channels: Mapping[str, str], serving: TfliteClassifier) -> TfliteClassifier | None:
        version = channels.get(self._watch.shadow_channel or "")
        if version is None or version == serving.version:
            self._withdraw_refusal("candidate")
            return None
        return self._get("candidate", version)

    def _stable_version(self, channels: Mapping[str, str]) -> str:
        if self._watch.channel is None:
            return self.lineup.stable.version
        if self._watch.channel not in channels:
            raise RegistryError(f"WORKER_CHANNEL={self._watch.channel}: not among the registry's {sorted(channels)}")
        return channels[self._watch.channel]

    def _get(self, role: str, version: str) -> TfliteClassifier | None:
        """Return a version, from memory or loaded; None when it is refused or cannot be fetched now."""
        if version not in self._loaded:
            refusal = self._refusals.get(role)
            if refusal is not None and refusal.version == version and self._clock.monotonic() < refusal.retry_at:
                return None
            try:
                self._loaded[version] = self._load(version)
            except RegistryError as error:
                self._unreachable = str(error)
                return None
            except ModelError as error:
                self._refuse(role, version, str(error))
                return None
            except Exception as error:  # noqa: BLE001  (a bundle may break its reader in any way; the old one serves on)
                self._refuse(role, version, f"{type(error).__name__}: {error}")
                return None
        self._withdraw_refusal(role)
        return self._loaded[version]

    def _load(self, version: str) -> TfliteClassifier:
        started = self._clock.monotonic()
        loaded = self._registry.load(version)
        serving = self.lineup.stable
        if list(loaded.labels) != list(serving.labels):
            raise ModelError(
                f"{version}: its labels {list(loaded.labels)} differ from the serving {list(serving.labels)}, which "
                f"readers count on; restart the workers if the change is intended"
            )
        seconds = self._clock.monotonic() - started
        self._models.load_seconds.observe(seconds)
        self._log(logging.INFO, "model_loaded", model_version=version, seconds=round(seconds, 3))
        return loaded

    def _offer(self, lineup: Lineup) -> None:
        if lineup == self.lineup:
            return
        if lineup.stable is not self.lineup.stable:
            self._previous = self.lineup.stable.version
        self.lineup = lineup
        kept = {lineup.stable.version, self._previous, lineup.candidate.version if lineup.candidate else None}
        self._loaded = {version: model for version, model in self._loaded.items() if version in kept}

    def _refuse(self, role: str, version: str, reason: str) -> None:
        self._refusals[role] = _Refusal(version, self._clock.monotonic() + self._watch.retry_s)
        self._models.reloads.labels(role, "refused").inc()
        self._models.refused.labels(role).set(1)
        serving = self.lineup.stable.version
        self._health.note(role, f"{version} is refused, {serving} keeps serving: {reason}")
        self._log(logging.ERROR, "model_refused", role=role, model_version=version, serving=serving, reason=reason)

    def _withdraw_refusal(self, role: str) -> None:
        if self._refusals.pop(role, None) is not None:
            self._models.refused.labels(role).set(0)
            self._health.note(role, None)

    def _report_registry(self) -> None:
        """Log once that the registry is unreachable, however its message changes, and once that it is back."""
        was_unreachable = "registry" in self._health.notes
        self._models.registry_reachable.set(self._unreachable is None)
        if self._unreachable is not None:
            self._models.reloads.labels("stable", "unreachable").inc()
            if not was_unreachable:
                serving = self.lineup.stable.version
                self._log(logging.WARNING, "registry_unreachable", reason=self._unreachable, serving=serving)
        elif was_unreachable:
            self._log(logging.INFO, "registry_reachable")
        self._health.note("registry", self._unreachable)
