"""Puts together what rates in a running worker: the stable model, its reloader, shadow, drift and feedback.

Owns the wiring from settings to `LiveClassifier`, and the threads that run beside the loop; `app` asks for it once.
`predict`, `check` and `replay` stay on the one version that `load_version` gives them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from worker.clock import Clock
from worker.model.classifier import TfliteClassifier
from worker.model.drift import Drift
from worker.model.feedback import Feedback
from worker.model.loading import load_version, serving_version
from worker.model.registry import read_channels
from worker.model.reload import Registry, Reloader, Watched
from worker.model.serving import LiveClassifier
from worker.model.shadow import Limits, Shadow
from worker.ops.health import Health
from worker.ops.logs import Log
from worker.ops.metrics import Metrics
from worker.redis.ratings import RatingsInRedis
from worker.settings import WorkerSettings


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the parts of one process share, as far as models need it."""

    settings: WorkerSettings
    clock: Clock
    log: Log
    metrics: Metrics
    health: Health
    stop: threading.Event


def start_models(around: Surroundings) -> LiveClassifier:
    """Load what the settings name, and start what watches and compares it.

    Raises:
        ModelError: no bundle, or one that must not serve.
    """
    settings, metrics, clock, stop = around.settings, around.metrics, around.clock, around.stop

    def load(version: str) -> TfliteClassifier:
        return load_version(settings, version, metrics, clock)

    reloader = Reloader(
        load(serving_version(settings)),
        Watched(
            None if settings.model_version else settings.channel,
            settings.shadow_channel,
            settings.reload_interval_s,
            settings.reload_retry_s,
        ),
        Registry(lambda: read_channels(settings.registry), load),
        clock=clock,
        metrics=metrics,
        health=around.health,
        log=around.log,
    )
    live = _live(around, reloader)
    if settings.reload_interval_s > 0:
        reloader.start(stop)
    if settings.feedback_topic is not None:
        _feedback(around, settings.feedback_topic, reloader).start(stop)
    return live


def _live(around: Surroundings, reloader: Reloader) -> LiveClassifier:
    settings, metrics, clock = around.settings, around.metrics, around.clock
    health, log = around.health, around.log
    topic = None
    if settings.shadow_topic is not None:
        from worker.kafka.python.shadow_topic import ShadowTopic  # loads kafka-python

        topic = ShadowTopic(settings, settings.shadow_topic, metrics, log)
        topic.start(around.stop)
    drift = Drift(
        metrics,
        clock,
        reviews=settings.drift_window_reviews,
        seconds=settings.drift_window_s,
        least_reviews=settings.drift_min_reviews,
    )
    shadow = Shadow(
        Limits(
            share=settings.canary_share,
            most_errors=settings.shadow_max_errors,
            most_disagreement=settings.canary_max_disagreement,
            window_reviews=settings.canary_window_reviews,
            least_reviews=settings.canary_min_reviews,
        ),
        drift=drift,
        clock=clock,
        metrics=metrics,
        health=health,
        log=log,
        publish=topic.publish if topic else None,
    )
    return LiveClassifier(reloader, shadow=shadow, drift=drift, metrics=metrics, health=health, log=log)


def _feedback(around: Surroundings, topic: str, reloader: Reloader) -> Feedback:
    from worker.kafka.python.feedback_topic import FeedbackTopic  # loads kafka-python

    return Feedback(
        FeedbackTopic(around.settings, topic),
        RatingsInRedis(around.settings),
        lambda: reloader.lineup.stable.labels,
        metrics=around.metrics,
        health=around.health,
        log=around.log,
    )
