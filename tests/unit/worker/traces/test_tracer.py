"""The loop on doubles, traced: which batches are, what their spans are, and what they say."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from prometheus_client.openmetrics.exposition import generate_latest

from tests.doubles import ManualClock, make_record
from tests.fixtures.world import GONE, World
from worker.records import Batch
from worker.settings import WorkerSettings
from worker.traces.tracer import OpenTelemetryTraces


def traced(world: World, **values: Any) -> tuple[OpenTelemetryTraces, InMemorySpanExporter]:
    """Trace a worker in memory."""
    exporter = InMemorySpanExporter()
    settings = WorkerSettings(**{"_env_file": None, "trace_share": 1.0, **values})
    traces = OpenTelemetryTraces(settings, "test", exporter, world.clock, Random(7))  # noqa: S311
    world.pipeline.traces = traces
    return traces, exporter


def spans(traces: OpenTelemetryTraces, exporter: InMemorySpanExporter) -> list[ReadableSpan]:
    traces.close(10)
    return sorted(exporter.get_finished_spans(), key=lambda span: (span.start_time or 0, span.name))


def names(found: Sequence[ReadableSpan]) -> list[str]:
    return sorted(span.name for span in found)


def page_of(world: World) -> str:
    untyped: Any = generate_latest
    return str(untyped(world.registry).decode())


def parent(number: int, flags: str) -> list[tuple[str, bytes | None]]:
    return [("traceparent", f"00-{number:032x}-{number:016x}-{flags}".encode())]


def test_a_batch_is_a_consumer_span_with_its_steps_below_and_a_link_to_each_review() -> None:
    world = World()
    made = traced(world)
    for number, flags in ((1, "01"), (2, "00")):
        world.cluster.produce(make_record("love it", key=b"k%d" % number, headers=parent(number, flags)))
    world.produce("bad")
    world.steps()
    found = spans(*made)
    (root,) = [span for span in found if span.parent is None]
    assert (root.name, root.kind) == ("process reviews", SpanKind.CONSUMER)
    assert {(link.context.trace_id, link.context.span_id) for link in root.links} == {(1, 1), (2, 2)}
    assert root.attributes is not None
    assert root.attributes["messaging.batch.message_count"] == 3
    assert root.attributes["messaging.consumer.group.name"] == "starstream"
    assert root.attributes["messaging.destination.name"] == "reviews"
    below = [span for span in found if span.parent is not None]
    assert {span.parent.span_id for span in below if span.parent} == {root.context.span_id}
    assert {"parse", "infer", "store", "publish", "commit"} == set(names(below))
    begin, end = root.start_time or 0, root.end_time or 0
    assert all(begin <= (span.start_time or 0) <= (span.end_time or 0) <= end for span in below)
    assert root.status.is_ok
    assert root.resource.attributes["service.name"] == "test"


def test_a_share_of_the_batches_is_traced_and_none_with_a_share_of_zero() -> None:
    clock = ManualClock()
    batch = Batch([make_record("a")], "idle", 1, 0.1, 0.0)
    settings = WorkerSettings(_env_file=None, trace_share=0.2)
    traces = OpenTelemetryTraces(settings, "test", InMemorySpanExporter(), clock, Random(1))  # noqa: S311
    begun = sum(traces.begin(batch) is not None for _ in range(2000))
    assert 330 < begun < 470
    none = OpenTelemetryTraces(WorkerSettings(_env_file=None, trace_share=0), "test", InMemorySpanExporter(), clock)
    assert not any(none.begin(batch) for _ in range(1000))


def test_a_batch_follows_a_review_that_its_producer_keeps_and_links_only_such() -> None:
    for follow in (True, False):
        world = World()
        made = traced(world, trace_share=0, trace_follow=follow)
        for number, flags in ((1, "00"), (2, "01"), (3, "00")):
            world.cluster.produce(make_record("love it", key=b"k%d" % number, headers=parent(number, flags)))
        world.steps()
        roots = [span for span in spans(*made) if span.parent is None]
        assert [[link.context.trace_id for link in root.links] for root in roots] == ([[2]] if follow else [])


def test_a_batch_that_fails_is_an_error_and_the_step_at_fault_too_and_the_next_is_not() -> None:
    world = World()
    made = traced(world)
    world.store.faults.then(GONE)
    world.produce("love it")
    world.steps()
    found = spans(*made)
    failed = [span for span in found if not span.status.is_ok]
    assert names(failed) == ["process reviews", "store"]
    assert {span.attributes["error.type"] for span in failed if span.attributes} == {"TransientError"}
    assert names([span for span in found if span.parent is None]) == ["process reviews"] * 2


def test_the_latency_names_a_trace_in_openmetrics_and_none_without_tracing() -> None:
    world = World()
    world.produce("love it")
    world.steps()
    assert "trace_id" not in page_of(world)
    made = traced(world)
    world.produce("love it")
    world.steps()
    (root,) = [span for span in spans(*made) if span.parent is None]
    page = page_of(world)
    lines = [line for line in page.splitlines() if "trace_id" in line]
    assert len(lines) == 1
    assert lines[0].startswith("starstream_review_latency_seconds_bucket{")
    assert f'span_id="{root.context.span_id:016x}",trace_id="{root.context.trace_id:032x}"' in lines[0]


def test_a_request_goes_on_with_its_callers_trace_and_the_caller_decides() -> None:
    clock = ManualClock()
    exporter = InMemorySpanExporter()
    settings = WorkerSettings(_env_file=None, trace_share=1.0)
    traces = OpenTelemetryTraces(settings, "test", exporter, clock)
    assert traces.begin_request("POST", dict(parent(5, "00"))["traceparent"]) is None
    trace = traces.begin_request("POST", dict(parent(5, "01"))["traceparent"])
    assert trace is not None
    trace.step("classify", clock.monotonic(), 0.0)
    trace.failed("500")
    trace.end({"http.route": "/v1/ratings"}, "POST /v1/ratings")
    own = traces.begin_request("GET", b"odd")
    assert own is not None
    own.end({})
    traces.close(10)
    by_name = {span.name: span for span in exporter.get_finished_spans()}
    asked = by_name["POST /v1/ratings"]
    assert (asked.kind, asked.context.trace_id, asked.parent and asked.parent.span_id) == (SpanKind.SERVER, 5, 5)
    assert asked.attributes is not None
    assert (asked.attributes["error.type"], asked.status.is_ok) == ("500", False)
    infer = by_name["infer"]
    assert (infer.context.trace_id, infer.parent and infer.parent.span_id) == (5, asked.context.span_id)
    assert by_name["GET"].parent is None
    assert trace.traceparent == f"00-{5:032x}-{asked.context.span_id:016x}-01"
