"""One real Prometheus on loopback, as a child process, with the deployment's own configuration and rules.

Owns the way from deploy/prometheus to a server that scrapes some pages twice a second. What it changes of the
configuration is where the workers are found and how often; the job's name and the rules are the deployment's. A test
that waits for alerts divides all durations of the rules by one number.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from http import HTTPStatus
from math import isnan
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from deploy.page import fetch
from deploy.process import LOOPBACK, LocalService, LocalServiceError, ServiceUnavailable, free_port, wait_until
from tests import PATIENCE_S
from tests.deploy.assets import APP_RULES, PROMETHEUS, RULES, WORKER_JOB

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


class PrometheusUnavailable(ServiceUnavailable):
    """There is no `prometheus` on PATH."""


class QueryError(LocalServiceError):
    """Prometheus refused a query; the message holds the query and the reason."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an instant query's answer."""

    labels: dict[str, str]
    value: float


class LocalPrometheus(LocalService):
    """A Prometheus that scrapes `targets` and evaluates the deployment's rules, both twice a second.

    Args:
        targets: host:port of the workers' pages, scraped as the deployment's job `starstream-worker`.
        speed: by what the durations in the rules are divided.
    """

    name = "prometheus"

    def __init__(self, *targets: str, speed: int = 1) -> None:
        super().__init__(data_dir=None, start_timeout_s=PATIENCE_S)
        self._port = free_port()
        self._targets = targets
        self._speed = speed

    def _prepare(self) -> list[str]:
        found = shutil.which("prometheus")
        if found is None:
            raise PrometheusUnavailable("no `prometheus` on PATH: install it (Debian: prometheus)")
        self._require_free(self._port)
        rules = self.data_dir / "rules.yml"
        rules.write_text(yaml.safe_dump(_faster_rules(self._speed)), encoding="utf-8")
        self.watch(*self._targets)
        config = self.data_dir / "prometheus.yml"
        config.write_text(yaml.safe_dump(_config(self._discovered, rules)), encoding="utf-8")
        return [
            found,
            f"--config.file={config}",
            f"--storage.tsdb.path={self.data_dir / 'tsdb'}",
            f"--web.listen-address={LOOPBACK}:{self._port}",
            "--log.level=warn",
        ]

    def _answers(self) -> bool:
        return self._get("/-/ready")[0] == HTTPStatus.OK

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{LOOPBACK}:{self._port}"

    def watch(self, *targets: str) -> None:
        """Scrape these from now on: a target that is left out has gone from service discovery."""
        self._targets = targets
        new = self._discovered.with_suffix(".new")
        new.write_text(json.dumps([{"targets": targets}]), encoding="utf-8")
        new.replace(self._discovered)

    @property
    def _discovered(self) -> Path:
        return self.data_dir / "targets.json"

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        return {alert.labels["alertname"] for alert in self.query('ALERTS{alertstate="firing"}')}

    def query(self, expr: str) -> list[Sample]:
        """Return the series an expression gives now; empty when there are none. A scalar is one series.

        Raises:
            QueryError: Prometheus does not understand it, or cannot answer it.
        """
        status, body = self._get(f"/api/v1/query?{urlencode({'query': expr})}")
        answer = json.loads(body)
        if status != HTTPStatus.OK:
            raise QueryError(f"{expr}: {answer.get('error', status)}")
        data = answer["data"]
        if data["resultType"] == "scalar":
            return [Sample({}, float(data["result"][1]))]
        return [Sample(series["metric"], float(series["value"][1])) for series in data["result"]]

    def wait_scraped(self, times: int = 2) -> None:
        """Block until the page was scraped `times` more times from now; a rate needs two.

        Raises:
            TimeoutError: it was not.
        """
        before = self._scrapes()
        wait_until(lambda: self._scrapes() >= before + times, PATIENCE_S, f"{times} scrapes of {self._targets}")

    def _scrapes(self) -> int:
        found = self.query(f'sum(sum_over_time(up{{job="{WORKER_JOB}"}}[1h]))')
        return int(found[0].value) if found else 0

    def _get(self, path: str) -> tuple[int, str]:
        return fetch(f"{self.url}{path}")


def wait_for_data(prometheus: LocalPrometheus, expr: str) -> list[Sample]:
    """Return an expression's series once at least one has a number (NaN is none).

    Raises:
        TimeoutError: none had, naming the expression.
    """
    found: list[Sample] = []

    def numbers() -> bool:
        found[:] = [sample for sample in prometheus.query(expr) if not isnan(sample.value)]
        return bool(found)

    wait_until(numbers, PATIENCE_S, f"data of {expr}")
    return found


def _config(discovered: Path, rules: Path) -> dict[str, Any]:
    """The deployment's configuration with the targets of a file, scraped twice a second."""
    config: dict[str, Any] = yaml.safe_load(PROMETHEUS.read_text(encoding="utf-8"))
    config["global"] = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), "500ms")
    config["rule_files"] = [str(rules)]
    (job,) = (job for job in config["scrape_configs"] if job["job_name"] == WORKER_JOB)
    del job["dns_sd_configs"]
    job["file_sd_configs"] = [{"files": [str(discovered)], "refresh_interval": "1s"}]
    config["scrape_configs"] = [job]
    return config


def _faster_rules(speed: int) -> dict[str, Any]:
    """The deployment's rules without intervals of their own, their durations divided by `speed`."""

    def faster(found: re.Match[str]) -> str:
        return f"{found[1]}{round(float(found[2]) * 1000 * _SECONDS[found[3]] / speed)}ms"

    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in (RULES, APP_RULES)]
    loaded: dict[str, Any] = {"groups": [group for file in files for group in file["groups"]]}
    for group in loaded["groups"]:
        group.pop("interval", None)
        for rule in group["rules"] if speed != 1 else ():
            rule["expr"] = re.sub(r"(\[|\boffset )(\d+)([smhdw])\b", faster, rule["expr"])
            if "for" in rule:
                rule["for"] = re.sub(r"^()(\d+)([smhdw])$", faster, rule["for"])
    return loaded
