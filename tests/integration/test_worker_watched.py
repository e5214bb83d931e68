"""A real Prometheus watches a real worker: every query of dashboards, recording rules and alerts finds what it reads.

A renamed metric or a changed label value makes a query return nothing, which is not noticed on a dashboard until the
day it matters.
"""

from __future__ import annotations

from pathlib import Path

from deploy.grafana.boards import BOARDS
from deploy.grafana.pictures import main as draw_pictures
from deploy.process import LOOPBACK
from tests.conftest import serving
from tests.deploy.assets import alerts, dashboard_queries, drawn_events, recorded, selectors
from tests.fixtures.bundles import SECOND, Change, ToyRegistry
from tests.fixtures.records import Message
from tests.fixtures.running import Deployment
from tests.integration.prometheus import LocalPrometheus, wait_for_data


def of_others(selector: str) -> bool:
    """Whether this worker cannot have these series.

    `serve` exports those of requests (recorded_rest_*.yml has what a real one emits), and the toy bundle gives stars,
    finds no contradiction and no uncertain rating.
    """
    return 'source="rest"' in selector or selector.startswith(
        (
            "starstream_rest_",
            "starstream_app_marked_total",
            "starstream_labels_total",
            "starstream_app_labels_total",
            "starstream_shadow_labels_total",
        )
    )


def test_every_query_finds_the_series_it_reads(deployment: Deployment, tmp_path: Path) -> None:
    registry = ToyRegistry(tmp_path / "models")
    registry.publish(SECOND, Change(always=1))
    registry.point("candidate", SECOND)
    settings = {"registry": str(registry.root), "shadow_channel": "candidate", "reload_interval_s": "0.5"}
    settings |= {"drift_window_reviews": "100", "drift_min_reviews": "50", "app_metrics": "shop"}
    worker = deployment.worker("--processes", "2", **settings).ready()
    worker.until(lambda: worker.total("starstream_shadow_info") == 1, "a candidate runs in shadow")
    with serving(LocalPrometheus(f"{LOOPBACK}:{worker.port}")) as prometheus:
        prometheus.wait_scraped()  # a rate needs the zero before
        deployment.produce(
            *(
                Message(
                    b'{"text": "love it, best app ever", "score": 4, "app_id": "shop", "app_version": "1.0"}',
                    f"r{number}".encode(),
                )
                for number in range(400)
            ),
            Message(b"worst app", b"gone"),
            Message(None, b"gone"),
            Message(b"\xff\xfe", b"poison"),
        )
        worker.until(lambda: deployment.lag() == 0, "all committed")
        prometheus.wait_scraped()  # an app's series are new: their first sample is no increase
        later = b'{"text": "worst app", "app_id": "shop", "app_version": "1.0"}'
        deployment.produce(*(Message(later, f"later-{number}".encode()) for number in range(400)))
        for query in [*recorded(), *dashboard_queries(interval="30s")]:
            if any(map(of_others, selectors(query.expr))):
                continue
            assert wait_for_data(prometheus, query.expr), query
        for query in [*alerts(), *drawn_events()]:
            prometheus.query(query.expr)  # usually empty, but understood
        unknown = {
            selector
            for query in alerts()
            for selector in selectors(query.expr)
            if not of_others(selector) and not prometheus.query(selector)
        }
        assert unknown == set()
        words = ["--prometheus", prometheus.url, "--minutes", "2", "--out", str(tmp_path / "pictures")]
        assert draw_pictures(words) == 0
        drawn = {path.stem: path.stat().st_size for path in (tmp_path / "pictures").glob("*.png")}
        assert set(drawn) == set(BOARDS)
        assert min(drawn.values()) > 5_000
    assert worker.stop() == 0
