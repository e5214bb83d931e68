"""Builds from the settings what several commands use: the loop, its parser, and the models of a running worker.

Owns how `WorkerSettings` become the core's objects, for `run`, `replay` and `serve`. `worker.run.app` makes the source,
the delivery and the store and decides when each is up; `worker.model.loading` gives `predict`, `check` and `replay`
their single version. Clients of Kafka are imported where they are used, so that a worker on librdkafka loads
kafka-python only when it has a shadow or a feedback topic.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import uuid4

from prometheus_client import Counter

from schemas.input.fields import FieldFinder
from schemas.input.value import ValueFormat
from schemas.starter import starter_version
from worker.backoff import Backoff
from worker.clock import Clock
from worker.model.canary import Limits as CanaryLimits
from worker.model.classifier import TfliteClassifier
from worker.model.drift import Drift
from worker.model.feedback import Feedback
from worker.model.loading import load_version, serving_version, starter_remark
from worker.model.registry import read_channels
from worker.model.reload import Registry, Reloader, Watch
from worker.model.serving import ServingClassifier
from worker.model.shadow import Shadow
from worker.ops.health import Health
from worker.ops.logs import Log
from worker.ops.metrics import Metrics
from worker.redis.ratings import RatingsInRedis
from worker.settings import WorkerSettings
from worker.stream.batcher import Batcher, Limits
from worker.stream.breaker import Breaker
from worker.stream.parse import Parser
from worker.stream.pipeline import Pipeline
from worker.stream.poison import PoisonTracker
from worker.stream.ports import Classifier, Decoder, Delivery, PoisonLedger, Source, Store, Traces


@dataclass(frozen=True, slots=True)
class Process:
    """What the parts of one process share."""

    settings: WorkerSettings
    clock: Clock
    log: Log
    metrics: Metrics
    health: Health
    traces: Traces | None = None


def make_parser(settings: WorkerSettings, ignored: Counter | None = None) -> Parser:
    """Return the parser of the input topics' records; `ignored` counts fields that cannot be used.

    Raises:
        SettingsError: the packages that the form of the values needs are not installed.
    """
    form: ValueFormat
    decoder: Decoder | None = None
    if settings.input_format == "avro" or settings.input_format == "json_schema":  # noqa: PLR1714 - mypy narrows this
        from worker.kafka.registry.decoder import make_decoder  # loads the registry's client

        form, decoder = "json", make_decoder(settings)
    else:
        form = settings.input_format
    return Parser(form, settings.max_text_chars, FieldFinder(settings.field_paths), ignored, decoder)


def wire_pipeline(
    process: Process,
    *,
    source: Source,
    classifier: Classifier,
    store: Store,
    ledger: PoisonLedger,
    delivery: Delivery,
    breaker: Breaker | None = None,
) -> Pipeline:
    """Return the loop over ports that are connected already, with the settings' own breaker when none is given."""
    settings = process.settings
    return Pipeline(
        source=source,
        batcher=Batcher(
            Limits(
                settings.batch_reviews,
                settings.batch_bytes,
                settings.batch_tokens,
                linger_s=settings.linger_s,
                commit_s=min(settings.transaction_timeout_s, settings.request_timeout_s),
            )
        ),
        parser=make_parser(settings, process.metrics.ignored_fields),
        classifier=classifier,
        store=store,
        delivery=delivery,
        poison=PoisonTracker(ledger, run_id=uuid4().hex, limit=settings.max_attempts),
        breaker=breaker
        or Breaker(
            share=settings.breaker_share,
            window_records=settings.breaker_window_records,
            consecutive=settings.breaker_consecutive,
        ),
        metrics=process.metrics,
        health=process.health,
        clock=process.clock,
        log=process.log,
        backoff=Backoff(),
        traces=process.traces,
    )


def start_models(process: Process, stop: threading.Event) -> ServingClassifier:
    """Load the version that the settings name, and start reload, shadow, drift and feedback as they ask for them.

    Raises:
        ModelError: there is no bundle, or it must not serve.
    """
    settings, metrics, clock = process.settings, process.metrics, process.clock
    metrics.apps.apps = frozenset(settings.app_metrics)
    metrics.apps.newest_versions = settings.app_metrics_versions

    def load(version: str) -> TfliteClassifier:
        return load_version(settings, version, metrics, clock)

    def channels() -> Mapping[str, str]:
        # Only while the starter still serves: a registry that loses its channels must not bring it back.
        starter = settings.starter == "on" and reloader.lineup.stable.version == starter_version()
        return read_channels(settings.registry, starter=starter)

    serving = load(serving_version(settings))
    remark = starter_remark(settings, serving.version)
    if remark is not None:
        process.log(logging.WARNING, "starter_serving", model_version=serving.version, reason=remark)
    reloader = Reloader(
        serving,
        Watch(
            None if settings.model_version else settings.channel,
            settings.shadow_channel,
            settings.reload_interval_s,
            settings.reload_retry_s,
        ),
        Registry(channels, load),
        clock=clock,
        metrics=metrics,
        health=process.health,
        log=process.log,
    )
    classifier = _make_classifier(process, reloader, stop)
    if settings.reload_interval_s > 0:
        reloader.start(stop)
    if settings.feedback_topic is not None:
        _start_feedback(process, settings.feedback_topic, reloader, stop)
    return classifier


def _make_classifier(process: Process, reloader: Reloader, stop: threading.Event) -> ServingClassifier:
    settings, metrics, clock = process.settings, process.metrics, process.clock
    health, log = process.health, process.log
    publish = None
    if settings.shadow_topic is not None:
        from worker.kafka.python.shadow_topic import ShadowTopic  # loads kafka-python

        topic = ShadowTopic(settings, settings.shadow_topic, metrics, log)
        topic.start(stop)
        publish = topic.publish
    drift = Drift(
        metrics,
        clock,
        reviews=settings.drift_window_reviews,
        seconds=settings.drift_window_s,
        min_reviews=settings.drift_min_reviews,
    )
    shadow = Shadow(
        CanaryLimits(
            share=settings.canary_share,
            max_errors=settings.shadow_max_errors,
            max_disagreement=settings.canary_max_disagreement,
            window_reviews=settings.canary_window_reviews,
            min_reviews=settings.canary_min_reviews,
        ),
        drift=drift,
        clock=clock,
        metrics=metrics,
        health=health,
        log=log,
        publish=publish,
    )
    return ServingClassifier(reloader, shadow=shadow, drift=drift, metrics=metrics, health=health, log=log)


def _start_feedback(process: Process, topic: str, reloader: Reloader, stop: threading.Event) -> None:
    from worker.kafka.python.feedback_topic import FeedbackTopic  # loads kafka-python

    Feedback(
        FeedbackTopic(process.settings, topic),
        RatingsInRedis(process.settings),
        lambda: reloader.lineup.stable.labels,
        metrics=process.metrics,
        health=process.health,
        log=process.log,
    ).start(stop)


def calm_collector() -> None:
    """Make Python's collector of reference cycles run seldom.

    Reviews and ratings form no cycles; searching for them in each batch of 2,000 costs as much as making its ratings.
    """
    gc.collect()
    gc.freeze()  # objects made at start stay until the process ends
    gc.set_threshold(20_000, 20, 20)
