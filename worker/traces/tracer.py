"""Traces in OpenTelemetry's form: which batches and requests are sampled, their spans, and what a span says.

Owns names and attributes (OpenTelemetry's conventions for messaging, databases and HTTP). Times nothing: the loop and
the front time the steps (`worker.stream.phases`, `worker.traces.request`); `exporter` sends the spans.
"""

from __future__ import annotations

import os
import random
import socket
import threading
from collections.abc import Mapping
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from schemas import __version__
from worker.clock import Clock
from worker.records import Batch
from worker.settings import WorkerSettings
from worker.stream.ports import Trace
from worker.traces.parents import Parent, parent_of, parents

_LONGEST_MESSAGE: Final = 300
_EXPORTED_AT_ONCE: Final = 64  # spans; with 2,000 links in some of them a message stays under gRPC's 4 MB
# The steps of the loop and of the front: what a span is called, its kind, and what the conventions say of it.
_STEPS: Final[Mapping[str, tuple[str, SpanKind, Mapping[str, str]]]] = {
    "parse": ("parse", SpanKind.INTERNAL, {}),
    "classify": ("infer", SpanKind.INTERNAL, {}),
    "queue": ("queue", SpanKind.INTERNAL, {}),
    "store": ("store", SpanKind.CLIENT, {"db.system.name": "redis"}),
    "publish": (
        "publish",
        SpanKind.PRODUCER,
        {"messaging.system": "kafka", "messaging.operation.name": "publish", "messaging.operation.type": "send"},
    ),
    "commit": (
        "commit",
        SpanKind.CLIENT,
        {"messaging.system": "kafka", "messaging.operation.name": "commit", "messaging.operation.type": "settle"},
    ),
}


class SpanTrace:
    """A span and the steps below it. Steps may come from another thread than the rest."""

    def __init__(self, tracer: Tracer, span: Span, clock: Clock) -> None:
        self._tracer = tracer
        self._span = span
        self._parent = set_span_in_context(span, Context())
        self._clock = clock
        self._wall_s = clock.wall() - clock.monotonic()
        context = span.get_span_context()
        self.exemplar = {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
        self.traceparent = f"00-{self.exemplar['trace_id']}-{self.exemplar['span_id']}-01"

    def step(self, name: str, started_s: float, seconds: float, error: BaseException | None = None) -> None:
        """Add a step that has ended."""
        called, kind, attributes = _STEPS[name]
        step = self._tracer.start_span(
            called, self._parent, kind, attributes, start_time=self._ns(started_s), record_exception=False
        )
        if error is not None:
            _fail(step, type(error).__name__, str(error))
        step.end(self._ns(started_s + seconds))

    def failed(self, kind: str, message: str = "") -> None:
        """Say that the whole failed."""
        _fail(self._span, kind, message)

    def end(self, attributes: Mapping[str, str | int | float | bool], name: str | None = None) -> None:
        """End it, with what is known by now; it may be called anew."""
        self._span.set_attributes(attributes)
        if name is not None:
            self._span.update_name(name)
        self._span.end(self._ns(self._clock.monotonic()))

    def _ns(self, monotonic_s: float) -> int:
        return int((self._wall_s + monotonic_s) * 1e9)


class OpenTelemetryTraces:
    """Begins the traces of sampled batches and requests.

    Args:
        service: the name of this program, unless OTEL_SERVICE_NAME gives another.
        exporter: takes the spans, on a thread of its own.
        chance: returns numbers from 0 to 1; a batch is sampled below `WORKER_TRACE_SHARE`.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        service: str,
        exporter: SpanExporter,
        clock: Clock,
        chance: random.Random | None = None,
    ) -> None:
        self._share = settings.trace_share
        self._follow = settings.trace_follow
        self._group = settings.group_id
        self._clock = clock
        self._chance = chance or random.Random()  # noqa: S311 - which batches are looked at is no secret
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,  # a span is made only of what is sampled
            resource=_resource(service),
            span_limits=SpanLimits(max_links=settings.batch_reviews),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter, max_export_batch_size=_EXPORTED_AT_ONCE))
        self._tracer = self._provider.get_tracer("starstream", __version__)

    def begin(self, batch: Batch) -> Trace | None:
        """Return the trace of a batch, linked to the traces of its reviews; None when it is not sampled.

        It is sampled by chance, and, with `WORKER_TRACE_FOLLOW`, when the producer of one of its reviews keeps that
        review's trace. In the second case only such reviews are linked: the others' traces are stored nowhere.
        """
        drawn = self._chance.random() < self._share
        found = list(parents(batch.records, sampled_only=not drawn)) if drawn or self._follow else []
        if not drawn and not found:
            return None
        topics = {record.topic for record in batch.records}
        attributes: dict[str, str | int | float] = {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.consumer.group.name": self._group,
            "messaging.batch.message_count": len(batch.records),
            "starstream.batch.reason": batch.reason,
            "starstream.batch.wait_s": batch.oldest_s,
        }
        if len(topics) == 1:
            attributes["messaging.destination.name"] = next(iter(topics))
        span = self._tracer.start_span(
            f"process {'+'.join(sorted(topics))}",
            Context(),
            SpanKind.CONSUMER,
            attributes,
            [Link(_context_of(parent)) for parent in found],
            start_time=int(self._clock.wall() * 1e9),
        )
        return SpanTrace(self._tracer, span, self._clock)

    def begin_request(self, method: str, traceparent: bytes | None) -> Trace | None:
        """Return the trace of a request, below its caller's span; None when it is not sampled.

        The caller decides where it sends a `traceparent`; else chance does.
        """
        parent = parent_of(traceparent)
        if not (parent.sampled if parent is not None else self._chance.random() < self._share):
            return None
        context = Context()
        if parent is not None:
            context = set_span_in_context(NonRecordingSpan(_context_of(parent)), context)
        span = self._tracer.start_span(
            method, context, SpanKind.SERVER, {"http.request.method": method}, start_time=int(self._clock.wall() * 1e9)
        )
        return SpanTrace(self._tracer, span, self._clock)

    def close(self, timeout_s: float) -> None:
        """Send what waits, for at most this long."""
        closing = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(timeout_s)


def _resource(service: str) -> Resource:
    """Return what the spans say of this process; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win."""
    instance = f"{socket.gethostname()}-{os.getpid()}"
    ours = {"service.name": service, "service.version": __version__, "service.instance.id": instance}
    return Resource.create(ours).merge(OTELResourceDetector().detect())


def _context_of(parent: Parent) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT)
    return SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=flags)


def _fail(span: Span, kind: str, message: str) -> None:
    span.set_status(Status(StatusCode.ERROR, message[:_LONGEST_MESSAGE]))
    span.set_attribute("error.type", kind)
