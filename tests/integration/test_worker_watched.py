"""A real Prometheus watches a real worker: every query of dashboard and recording rules has data."""

from __future__ import annotations

from deploy.process import LOOPBACK
from tests.deploy.assets import dashboard_queries, recorded
from tests.fixtures.running import Deployment, Message
from tests.integration.prometheus import LocalPrometheus, wait_for_data


def test_every_query_of_the_dashboard_has_data(deployment: Deployment) -> None:
    worker = deployment.worker("--processes", "2").ready()
    with LocalPrometheus(f"{LOOPBACK}:{worker.port}") as prometheus:
        prometheus.wait_scraped()  # a rate needs the zero before
        deployment.produce(
            *(Message(b"love it, best app ever", f"r{number}".encode()) for number in range(400)),
            Message(b"worst app", b"gone"),
            Message(None, b"gone"),
            Message(b"\xff\xfe", b"poison"),
        )
        worker.until(lambda: deployment.lag() == 0, "all committed")
        for query in [*recorded(), *dashboard_queries(interval="30s")]:
            assert wait_for_data(prometheus, query.expr), query
    assert worker.stop() == 0
