"""Traces over the wire: a real worker and `serve` on Kafka and Redis send them to OpenTelemetry's own gRPC service."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from deploy.process import LOOPBACK, free_port
from tests import PATIENCE_S
from tests.fixtures.collector import Collector, collecting
from tests.fixtures.records import Message
from tests.fixtures.rest import send, serving_rest
from tests.fixtures.running import Deployment, completed
from worker.errors import ExitCode

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture
def collector() -> Iterator[tuple[Collector, str]]:
    with collecting() as found:
        yield found


def test_a_workers_batch_reaches_the_collector_with_its_links_and_steps_and_the_latency_names_it(
    deployment: Deployment, collector: tuple[Collector, str]
) -> None:
    received, endpoint = collector
    worker = deployment.worker("--trace-follow", otlp_endpoint=endpoint, trace_share=0).ready()
    deployment.produce(Message(b"good", b"r1", [("traceparent", PARENT.encode())]), Message(b"bad", b"r2"))
    worker.until(lambda: deployment.lag() == 0, "rated")
    received.until(lambda: received.named(f"process {deployment.input}"), "a span of the batch")
    (batch,) = [span for span in received.named(f"process {deployment.input}") if span.links]
    assert batch.links == {(TRACE, SPAN)}
    assert (batch.kind, batch.parent_id, batch.failed) == (5, "", False)
    assert batch.resource["service.name"] == "starstream-worker"
    assert batch.attributes["messaging.consumer.group.name"] == deployment.group
    received.until(
        lambda: {span.name for span in received.below(batch)} >= {"parse", "infer", "store", "commit"}, "steps"
    )
    page = httpx2.get(
        f"http://{LOOPBACK}:{worker.port}/metrics", headers={"accept": "application/openmetrics-text"}
    ).text
    assert f'trace_id="{batch.trace_id}"' in page
    (rating,) = [record for record in deployment.read(deployment.output) if record.key == b"r1"]
    assert dict(rating.headers)["traceparent"] == PARENT.encode(), "the review's own trace goes on"
    worker.until(lambda: worker.total("starstream_trace_spans_total", result="sent") >= 6, "counted")
    assert worker.stop() == ExitCode.OK


def test_a_stop_sends_what_waits(deployment: Deployment, collector: tuple[Collector, str]) -> None:
    received, endpoint = collector
    worker = deployment.worker(otlp_endpoint=endpoint, trace_share=1).ready()
    deployment.produce(Message(b"good", b"r1"))
    worker.until(lambda: deployment.lag() == 0, "rated")
    assert worker.stop() == ExitCode.OK
    assert {"parse", "infer", "store", "publish", "commit"} <= {span.name for span in received.spans}


def test_a_collector_that_is_away_costs_spans_and_nothing_else(deployment: Deployment) -> None:
    endpoint = f"http://{LOOPBACK}:{free_port()}"
    worker = deployment.worker(otlp_endpoint=endpoint, trace_share=1).ready()
    deployment.produce(*[Message(b"good", b"r%d" % number) for number in range(50)])
    worker.until(lambda: deployment.lag() == 0, "rated")
    worker.until(lambda: worker.total("starstream_trace_spans_total", result="lost") > 0, "a span is lost")
    (line,) = worker.said("spans_lost")
    assert line["endpoint"] == endpoint
    assert [other for other in worker.events if other["event"] == "?" or "opentelemetry" in other["logger"]] == []
    deployment.produce(Message(b"bad", b"last"))
    worker.until(lambda: deployment.lag() == 0, "rated")
    assert worker.stop() == ExitCode.OK


def test_serve_goes_on_with_its_callers_trace_and_hands_it_to_the_stream(
    deployment: Deployment, tmp_path: Path, collector: tuple[Collector, str]
) -> None:
    received, endpoint = collector
    settings = {"WORKER_OTLP_ENDPOINT": endpoint, "WORKER_TRACE_SHARE": "0"}
    with serving_rest(tmp_path, {**deployment.environ, **settings}) as served:
        rated = send(served, "/v1/ratings", {"reviews": ["good", "bad"]}, traceparent=PARENT)
        unsampled = send(served, "/v1/ratings", {"text": "good"})
        inferred = send(
            served,
            "/v2/models/starstream/infer",
            {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["good"]}]},
            traceparent=PARENT,
        )
        posted = send(served, "/v1/reviews", {"text": "good", "review_id": "r1"}, traceparent=PARENT)
        wrong = send(served, "/v1/ratings", {"text": 5}, traceparent=PARENT)
        statuses = [answer.status_code for answer in (rated, unsampled, inferred, posted, wrong)]
        assert statuses == [200, 200, 200, 202, 422]
        page = send(served, "/metrics", method="GET", accept="application/openmetrics-text").text
        assert served.stop() == ExitCode.OK
    roots = {span.name: span for span in received.spans if span.kind == 2 and not span.failed}
    assert len([span for span in received.spans if span.kind == 2]) == 4
    assert {span.parent_id for span in roots.values()} == {SPAN}
    assert {span.trace_id for span in received.spans} == {TRACE}
    asked = next(
        span for span in received.named("POST /v1/ratings") if span.attributes["http.response.status_code"] == 200
    )
    assert [span.name for span in received.below(asked)] == ["parse", "queue", "infer"]
    assert asked.resource["service.name"] == "starstream-serve"
    infer = next(span for name, span in roots.items() if "infer" in name)
    assert [span.name for span in received.below(infer)] == ["parse", "queue", "infer"]
    assert f'trace_id="{TRACE}"' in page
    (record,) = deployment.read(deployment.input)
    sent = received.named("POST /v1/reviews")[0]
    assert dict(record.headers)["traceparent"] == f"00-{TRACE}-{sent.span_id}-01".encode()


def test_without_the_extra_one_line_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry" / "__init__.py").write_text("")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from worker.__main__ import main; sys.exit(main(['run']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "WORKER_OTLP_ENDPOINT": "http://localhost:4317", "WORKER_HTTP_PORT": "0"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == ExitCode.USAGE
    assert "install the extra `otel`" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "value", ["collector:4317", "http://", "http:///", "http://collector:4317/v1/traces", "grpc://c:1"]
)
def test_an_endpoint_is_an_address_over_http(value: str) -> None:
    done = completed("check", otlp_endpoint=value)
    assert done.returncode == ExitCode.USAGE
    assert "WORKER_OTLP_ENDPOINT: takes http://host:port" in done.stderr
