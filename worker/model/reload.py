"""Watches the registry's channels from a thread, and makes ready what they name; the loop swaps between two batches.

Owns what is in memory: the stable version, the one before (for an instant return), and the candidate. A version is
fetched beside, its hashes and schema verified, its labels compared, warmed up and its golden set replayed, all on this
thread and on an interpreter of its own; only then is it offered. One that fails is refused with its reason, told once,
and tried again when the channel moves or after a pause; the old one keeps serving. Never touches the loop: it offers a
`Lineup`, which the loop takes when it likes.
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
    """The models of one batch: whose ratings go out, and who runs beside."""

    stable: TfliteClassifier
    candidate: TfliteClassifier | None = None


@dataclass(frozen=True, slots=True)
class Watched:
    """What is looked at, and how often.

    Attributes:
        channel: whose version serves; None: the one that serves now serves for ever.
        shadow_channel: whose version runs beside; None: nothing does.
        interval_s: between two looks.
        retry_s: before a refused version is tried again though its channel stands still.
    """

    channel: str | None
    shadow_channel: str | None
    interval_s: float
    retry_s: float


@dataclass(frozen=True, slots=True)
class _Refusal:
    version: str
    retry_at: float


@dataclass(frozen=True, slots=True)
class Registry:
    """What the reloader asks of the registry.

    Attributes:
        channels: returns which version each channel names; raises `RegistryError`.
        load: returns a version verified; raises `ModelError`.
    """

    channels: Callable[[], Mapping[str, str]]
    load: Callable[[str], TfliteClassifier]


class Reloader:
    """Offers the lineup the channels ask for.

    Args:
        serving: serves from the start.
        watched: which channels, how often.
        registry: answers.
        clock: times loads and pauses.
        metrics: outcomes are counted here.
        health: what is refused, and why, is noted here.
        log: the same, once.
    """

    def __init__(
        self,
        serving: TfliteClassifier,
        watched: Watched,
        registry: Registry,
        *,
        clock: Clock,
        metrics: Metrics,
        health: Health,
        log: Log,
    ) -> None:
        self.lineup = Lineup(serving)  # replaced whole: the loop reads it at any time
        self._watched = watched
        self._registry = registry
        self._clock = clock
        self._models = metrics.models
        self._health = health
        self._log = log
        self._known: dict[str, TfliteClassifier] = {serving.version: serving}
        self._before: str | None = None  # the stable version before this one
        self._refusals: dict[str, _Refusal] = {}
        self._trouble: str | None = None  # why the registry did not answer at the last look

    def start(self, stop: threading.Event) -> None:
        """Watch from a daemon thread until `stop`."""
        threading.Thread(target=self._watch, args=(stop,), name="reload", daemon=True).start()

    def _watch(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self.check()
            stop.wait(self._watched.interval_s)

    def check(self) -> None:
        """Look at the channels once, and offer what they ask for as far as it can be had. Blocks for a load."""
        self._trouble = None
        try:
            channels = self._registry.channels()
            stable = self._wanted_stable(channels)
        except RegistryError as error:
            self._trouble = str(error)
        except Exception as error:  # noqa: BLE001  (a file system's package raises what it likes; a dead thread is silence)
            self._trouble = f"WORKER_REGISTRY: {type(error).__name__}: {error}"
        else:
            serving = self._had("stable", stable) or self.lineup.stable
            self._offer(Lineup(serving, self._candidate(channels, serving)))
        self._tell()

    def _candidate(self, channels: Mapping[str, str], serving: TfliteClassifier) -> TfliteClassifier | None:
        wanted = channels.get(self._watched.shadow_channel or "")
        if wanted is None or wanted == serving.version:
            self._accept("candidate")
            return None
        return self._had("candidate", wanted)

    def _wanted_stable(self, channels: Mapping[str, str]) -> str:
        if self._watched.channel is None:
            return self.lineup.stable.version
        if self._watched.channel not in channels:
            raise RegistryError(f"WORKER_CHANNEL={self._watched.channel}: not among the registry's {sorted(channels)}")
        return channels[self._watched.channel]

    def _had(self, role: str, version: str) -> TfliteClassifier | None:
        """Return a version, from memory or loaded; None when it is refused or cannot be fetched now."""
        if version not in self._known:
            refusal = self._refusals.get(role)
            if refusal is not None and refusal.version == version and self._clock.monotonic() < refusal.retry_at:
                return None
            try:
                self._known[version] = self._load(version)
            except RegistryError as error:
                self._trouble = str(error)
                return None
            except ModelError as error:
                self._refuse(role, version, str(error))
                return None
            except Exception as error:  # noqa: BLE001  (whatever a bundle does to its reader, the old one keeps serving)
                self._refuse(role, version, f"{type(error).__name__}: {error}")
                return None
        self._accept(role)
        return self._known[version]

    def _load(self, version: str) -> TfliteClassifier:
        started = self._clock.monotonic()
        loaded = self._registry.load(version)
        serving = self.lineup.stable
        if list(loaded.labels) != list(serving.labels):
            raise ModelError(
                f"{version}: its labels {list(loaded.labels)} are not the serving {list(serving.labels)}, which "
                f"readers count on; if it is meant, restart the workers"
            )
        seconds = self._clock.monotonic() - started
        self._models.load_seconds.observe(seconds)
        self._log(logging.INFO, "model_loaded", model_version=version, seconds=round(seconds, 3))
        return loaded

    def _offer(self, lineup: Lineup) -> None:
        if lineup == self.lineup:
            return
        if lineup.stable is not self.lineup.stable:
            self._before = self.lineup.stable.version
        self.lineup = lineup
        kept = {lineup.stable.version, self._before, lineup.candidate.version if lineup.candidate else None}
        self._known = {version: known for version, known in self._known.items() if version in kept}

    def _refuse(self, role: str, version: str, reason: str) -> None:
        self._refusals[role] = _Refusal(version, self._clock.monotonic() + self._watched.retry_s)
        self._models.reloads.labels(role, "refused").inc()
        self._models.refused.labels(role).set(1)
        serving = self.lineup.stable.version
        self._health.note(role, f"{version} is refused, {serving} keeps serving: {reason}")
        self._log(logging.ERROR, "model_refused", role=role, model_version=version, serving=serving, reason=reason)

    def _accept(self, role: str) -> None:
        if self._refusals.pop(role, None) is not None:
            self._models.refused.labels(role).set(0)
            self._health.note(role, None)

    def _tell(self) -> None:
        """Say once that the registry is away, however the wording changes, and once that it is back."""
        was_away = "registry" in self._health.notes
        self._models.registry_reachable.set(self._trouble is None)
        if self._trouble is not None:
            self._models.reloads.labels("stable", "unreachable").inc()
            if not was_away:
                serving = self.lineup.stable.version
                self._log(logging.WARNING, "registry_unreachable", reason=self._trouble, serving=serving)
        elif was_away:
            self._log(logging.INFO, "registry_reachable")
        self._health.note("registry", self._trouble)
