"""The files of a deployment as data, for these tests and the end-to-end test.

Owns reading them as their programs do: variables filled in, queries as Prometheus gets them. Checks nothing itself.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "deploy/docker/Dockerfile"
PROMETHEUS = ROOT / "deploy/prometheus/prometheus.yml"
RULES = ROOT / "deploy/prometheus/rules/starstream.yml"
APP_RULES = ROOT / "deploy/prometheus/rules/apps.yml"
RULE_TESTS = sorted((ROOT / "deploy/prometheus/tests").glob("*.yml"))
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
KUBERNETES = ROOT / "deploy/kubernetes"
README = ROOT / "deploy/README.md"
RUNBOOK = ROOT / "deploy/RUNBOOK.md"
WORKER_JOB = "starstream-worker"

_STRING = r'"(?:[^"\\]|\\.)*"'
# A name with its matchers. A brace or a word in a label's value is neither a matcher's end nor a metric.
_SELECTOR = re.compile(rf'{_STRING}|([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{{(?:{_STRING}|[^"}}])*\}})?')
_OURS = re.compile(r"starstream_|process_|^up$|^ALERTS$")


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression and where it is used."""

    where: str
    expr: str


def compose(**variables: str) -> dict[str, Any]:
    """Return docker-compose.yml with `${NAME:-default}` filled in from `variables` alone."""

    def fill(match: re.Match[str]) -> str:
        return variables.get(match["name"]) or match["default"] or ""

    filled = re.sub(r"(?<!\$)\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}", fill, COMPOSE.read_text(encoding="utf-8"))
    loaded: dict[str, Any] = yaml.safe_load(filled.replace("$$", "$"))
    return loaded


def seconds(duration: str) -> float:
    """Return the seconds of a compose duration such as `1m30s`."""
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(ms|s|m|h)", duration))


def rules() -> list[dict[str, Any]]:
    """Return every rule, in the order of the files."""
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in (RULES, APP_RULES)]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def recorded() -> list[Query]:
    """Return the recorded expressions by name."""
    return [Query(rule["record"], rule["expr"]) for rule in rules() if "record" in rule]


def alerts() -> list[Query]:
    """Return the alerts' expressions by name."""
    return [Query(rule["alert"], rule["expr"]) for rule in rules() if "alert" in rule]


def dashboards() -> dict[str, dict[str, Any]]:
    """Return each dashboard as Grafana stores it, by its file's name."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in DASHBOARDS}


def panels() -> list[dict[str, Any]]:
    """Return every panel that draws something, also those of collapsed rows; texts draw nothing."""
    found: list[dict[str, Any]] = []
    for board in dashboards().values():
        for panel in board["panels"]:
            found.extend(panel.get("panels", []) if panel["type"] == "row" else [panel])
    return [panel for panel in found if panel["type"] != "text"]


def dashboard_queries(job: str = WORKER_JOB, interval: str = "1m") -> list[Query]:
    """Return every query of every panel, its variables filled in as Grafana does."""
    return [
        Query(f"{panel['title']} / {target['refId']}", _filled(target["expr"], job, interval))
        for panel in panels()
        for target in panel["targets"]
    ]


def tiles(job: str = WORKER_JOB, interval: str = "1m") -> list[Query]:
    """Return the queries of the tiles that show one number, without that of the alerts."""
    stats = {panel["title"] for panel in panels() if panel["type"] == "stat"} - {"Alerts"}
    return [query for query in dashboard_queries(job, interval) if query.where.partition(" / ")[0] in stats]


def drawn_events(job: str = WORKER_JOB, interval: str = "1m") -> list[Query]:
    """Return what the dashboards draw as annotations, filled in likewise."""
    return [
        Query(f"{name} / {annotation['name']}", _filled(annotation["expr"], job, interval))
        for name, board in dashboards().items()
        for annotation in board["annotations"]["list"]
        if "expr" in annotation
    ]


def _filled(expr: str, job: str, interval: str) -> str:
    values = {"$job": job, "$__rate_interval": interval, "$__interval": interval, "$__range": interval, "$app": ".*"}
    for name, value in values.items():
        expr = expr.replace(name, value)
    return expr


def metric_names(expr: str) -> set[str]:
    """Return the metrics an expression reads: ours, the process's, and those that rules record."""
    return {selector.partition("{")[0] for selector in selectors(expr)}


def selectors(expr: str) -> set[str]:
    """Return each metric of an expression with its label matchers, without range and offset."""
    return {found[0] for found in _SELECTOR.finditer(expr) if found[1] and _OURS.search(found[1])}
