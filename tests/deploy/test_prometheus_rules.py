"""Prometheus' configuration and rules: accepted by promtool, tested alert by alert, and in step with the code."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import PROCESS_COLLECTOR, CollectorRegistry

from tests import PATIENCE_S
from tests.conftest import missing
from tests.deploy.assets import (
    APP_RULES,
    PROMETHEUS,
    ROOT,
    RULE_TESTS,
    RULES,
    RUNBOOK,
    WORKER_JOB,
    Query,
    alerts,
    compose,
    dashboard_queries,
    drawn_events,
    metric_names,
    recorded,
    rules,
)
from tests.doubles import ManualClock
from worker.ops.health import Health
from worker.ops.health_metrics import HealthCollector
from worker.ops.metrics import Metrics
from worker.ops.rest_metrics import RestMetrics
from worker.settings import WorkerSettings

ALERTS = [rule for rule in rules() if "alert" in rule]
# Prometheus adds these itself.
SYNTHETIC = {"up", "ALERTS"}

each_alert = pytest.mark.parametrize("rule", ALERTS, ids=[rule["alert"] for rule in ALERTS])


def promtool(*arguments: str | Path) -> None:
    found = shutil.which("promtool")
    if found is None:
        missing("promtool is not installed (Debian: prometheus)")
    command: Sequence[str] = [found, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr


def exported() -> set[str]:
    """Return the names a worker exports, from the registry itself."""
    registry = CollectorRegistry()
    Metrics(registry).serve_model([1, 2, 3, 4, 5], "v1", {"cell": "gru", "variant": "float32", "runtime": "litert"})
    RestMetrics(registry)
    registry.register(PROCESS_COLLECTOR)
    registry.register(HealthCollector(Health(ManualClock(), stall_s=1)))
    found = {sample.name for family in registry.collect() for sample in family.samples}
    families = {family.name for family in registry.collect()}
    # Some label sets appear with their first event, so each family counts as all of its samples.
    return found | {f"{name}{suffix}" for name in families for suffix in ("", "_total", "_bucket", "_sum", "_count")}


@pytest.mark.parametrize("what", [("config", PROMETHEUS), ("rules", "--lint=all", "--lint-fatal", RULES, APP_RULES)])
def test_promtool_accepts_the_configuration_and_the_rules(what: tuple[str | Path, ...]) -> None:
    promtool("check", *what)


@pytest.mark.parametrize("file", RULE_TESTS, ids=[path.stem for path in RULE_TESTS])
def test_promtool_runs_the_tests_of_the_alerts(file: Path) -> None:
    promtool("test", "rules", file)


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    cases: list[dict[str, Any]] = [
        case
        for file in RULE_TESTS
        for test in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]
        for case in test.get("alert_rule_test", [])
    ]
    names = {rule["alert"] for rule in ALERTS}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == names
    quiet = {case["alertname"] for case in cases if not case["exp_alerts"]}
    # The case of WorkerNotReady is also its quiet one: it expects no alert for the other instance.
    assert quiet | {"StarstreamWorkerNotReady"} == names


@each_alert
def test_alert_has_a_severity_a_text_and_a_section_of_the_runbook(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["summary"].endswith(".")
    file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    assert anchor == rule["alert"].lower()
    assert rule["alert"] in headings


def test_runbook_names_no_removed_alert() -> None:
    named = set(re.findall(r"^#+ (Starstream\w+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE))
    assert named == {rule["alert"] for rule in ALERTS}


@pytest.mark.parametrize(
    "query", [*recorded(), *alerts(), *dashboard_queries(), *drawn_events()], ids=lambda query: query.where
)
def test_query_reads_only_metrics_that_exist(query: Query) -> None:
    known = exported() | SYNTHETIC | {query.where for query in recorded()}
    names = metric_names(query.expr)
    assert names, "reads no metric of ours"
    assert names <= known


def test_every_recorded_expression_and_metric_of_the_worker_is_used() -> None:
    """What no alert and no panel uses is a cost without a benefit."""
    used = {name for query in [*recorded(), *alerts(), *dashboard_queries()] for name in metric_names(query.expr)}
    assert {query.where for query in recorded()} <= used
    families = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in used}
    registry = CollectorRegistry()
    Metrics(registry)
    RestMetrics(registry)
    assert {family.name for family in registry.collect()} <= families


def test_scraped_port_and_service_are_those_of_compose() -> None:
    jobs = {job["job_name"]: job for job in yaml.safe_load(PROMETHEUS.read_text(encoding="utf-8"))["scrape_configs"]}
    (found,) = jobs[WORKER_JOB]["dns_sd_configs"]
    assert found["type"] == "A"
    assert found["port"] == WorkerSettings.model_fields["http_port"].default
    assert set(found["names"]) <= set(compose()["services"])


def test_alerts_expect_the_job_that_is_scraped() -> None:
    jobs = {name for query in alerts() for name in re.findall(r'job="([^"]+)"', query.expr)}
    assert jobs == {WORKER_JOB}
