"""Two weeks of reviews of three apps, of which one drops after a version: everything that shows it, equal to a recount.

The worker's page is read three times a day of the history, and what it said is what Prometheus's rule is tried on. Then
half of the history is rated again by another model, a hundred reviews are deleted, and all is counted again.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import PATIENCE_S
from tests.conftest import missing
from tests.deploy.assets import APP_RULES, WORKER_JOB
from tests.fixtures.bundles import SECOND, Change, ToyRegistry
from tests.fixtures.records import Message, read_topic
from tests.fixtures.rest import send, serving_rest
from tests.fixtures.running import Deployment, RunningWorker, completed
from worker.__main__ import main
from worker.errors import ExitCode
from worker.redis.trend import TREND_BYS, TrendBy

NOW = datetime.now(UTC)
APPS = ("mail", "maps", "shop")
DROPS = "shop"
DAYS, SCRAPES, EACH = 14, 3, 24  # days, scrapes a day, reviews of an app between two
RELEASED = 10  # the day of version 2.0
HALF = DAYS // 2
Numbers = dict[str, Counter[str]]  # by row, then stars
Capture = pytest.CaptureFixture[str]


def review(app: str, day: int, part: int, number: int) -> Message:
    """Return a review of two in three that are good; of the app that drops, one in three since its release."""
    written = NOW - timedelta(days=DAYS - 1 - day, hours=1 + 5 * (SCRAPES - 1 - part), minutes=number)
    is_new = day >= RELEASED
    is_good = number % 3 == 0 if is_new and app == DROPS else number % 3 > 0
    value = {
        "text": "good" if is_good else "bad",
        "app_id": app,
        "app_version": "2.0" if is_new else "1.0",
        "created_at": written.isoformat(),
        "score": 5 if is_good else 1,
    }
    return Message(json.dumps(value).encode(), key=f"{app}-{day}-{part}-{number}".encode())


class History:
    """The history as it was produced, and what the worker's page said meanwhile."""

    def __init__(self, deployment: Deployment, worker: RunningWorker) -> None:
        self._deployment, self.worker = deployment, worker
        self.scrapes = [self._app_metrics()]
        self.half_at = ""

    def run(self) -> None:
        """Produce it, day by day."""
        for day in range(DAYS):
            if day == HALF:
                self.half_at = datetime.now(UTC).isoformat()
            for part in range(SCRAPES):
                made = [review(app, day, part, number) for app in APPS for number in range(EACH)]
                self._deployment.produce(*made)
                total = len(APPS) * EACH * len(self.scrapes)
                self.worker.until(lambda n=total: self._rated() == n, "all are rated")  # type: ignore[misc]
                self.scrapes.append(self._app_metrics())

    def _rated(self) -> float:
        return self.worker.total("starstream_app_ratings_total")

    def _app_metrics(self) -> dict[str, float]:
        """Return the series of apps, by name and labels as promtool writes them."""
        found = {}
        for (name, labels), value in self.worker.samples().items():
            if name.startswith("starstream_app_") and not name.endswith("_created"):
                own = ", ".join(f'{label}="{text}"' for label, text in sorted([*labels, ("job", WORKER_JOB)]))
                found[f"{name}{{{own}}}"] = value
        return found


@pytest.fixture
def history(deployment: Deployment, tmp_path: Path) -> History:
    registry = ToyRegistry(tmp_path / "models")
    registry.publish(SECOND, Change(always=2))
    deployment.settings |= {"redis_form": 2, "app_metrics": ",".join(APPS), "registry": str(registry.root)}
    made = History(deployment, deployment.worker().ready())
    made.run()
    return made


@pytest.fixture
def served(deployment: Deployment, history: History, tmp_path: Path) -> Iterator[RunningWorker]:
    """The front whose answers the page draws."""
    del history  # first, for its settings
    with serving_rest(tmp_path, deployment.environ) as front:
        yield front


def ratings(deployment: Deployment, replayed: Mapping[str, Any]) -> list[Any]:
    """Return the topic's last rating of each review that is not deleted; a replayed one as the replay rated it."""
    last: dict[str, Any] = {}
    for seen in read_topic(deployment.kafka.bootstrap, deployment.output):
        last[seen.id] = None if seen.value is None else json.loads(seen.value)
    return [replayed.get(review_id, live) for review_id, live in last.items() if live is not None]


def recount(rated: Iterable[Any], app: str, by: TrendBy) -> Numbers:
    """Count an app's ratings by row and stars."""
    rows: Numbers = {}
    for rating in rated:
        written = datetime.fromisoformat(rating["created_at"])
        names = {"day": f"{written:%Y-%m-%d}", "hour": f"{written:%Y-%m-%dT%H:00Z}", "version": rating["app_version"]}
        if rating["app_id"] == app:
            rows.setdefault(names[by], Counter())[str(rating["rating"])] += 1
    return rows


def mean(row: Counter[str]) -> float:
    return sum(int(star) * count for star, count in row.items()) / row.total()


def assert_all_say(deployment: Deployment, served: RunningWorker, rated: list[Any], capsys: Capture) -> None:
    """Compare what the command line and REST, which the page draws, say of each app with these ratings."""
    for app in APPS:
        for by in TREND_BYS:
            words = ["--app", app, "--since", "15d", "--by", by, "--json"]
            assert main(["get", *words, *deployment.flags()]) == ExitCode.OK
            found = json.loads(capsys.readouterr().out)
            wanted = recount(rated, app, by)
            assert {row["name"]: Counter(row["stars"]) for row in found["rows"]} == wanted
            assert [row["mean"] for row in found["rows"]] == [
                pytest.approx(mean(row), abs=1e-4) for _, row in sorted(wanted.items())
            ]
            assert found["outside"] == 0
            assert send(served, f"/v1/apps/{app}/trend?since=15d&by={by}", method="GET").json() == found
        summary = send(served, f"/v1/apps/{app}/summary", method="GET").json()
        assert Counter(summary["stars"]) == sum(recount(rated, app, "version").values(), Counter())


def assert_rule_shows_the_drop(scrapes: list[dict[str, float]], dropped_to: float, folder: Path) -> None:
    """Try the deployment's rule on what the page said: it fires for the app that drops, after its release, alone."""
    promtool = shutil.which("promtool")
    if promtool is None:
        missing("promtool is not installed (Debian: prometheus)")
    names = sorted({name for scrape in scrapes for name in scrape})
    series = [
        {"series": name, "values": " ".join(f"{scrape[name]:g}" if name in scrape else "_" for scrape in scrapes)}
        for name in names
    ]
    fired = {
        "exp_labels": {"severity": "warning", "job": WORKER_JOB, "app_id": DROPS},
        "exp_annotations": {
            "summary": f"The stars of {DROPS} have dropped.",
            "description": f"The mean of the last day is {dropped_to:.2f}, more than half a star below that of the "
            "same day a week ago.",
            "runbook_url": "deploy/RUNBOOK.md#starstreamappstarsdropped",
        },
    }
    alert = "StarstreamAppStarsDropped"
    test = {
        "interval": f"{24 // SCRAPES}h",
        "input_series": series,
        "alert_rule_test": [
            {"eval_time": f"{RELEASED}d", "alertname": alert, "exp_alerts": []},
            {"eval_time": f"{DAYS}d", "alertname": alert, "exp_alerts": [fired]},
        ],
    }
    file = folder / "rules.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(APP_RULES)], "evaluation_interval": "10m", "tests": [test]}))
    done = subprocess.run(
        [promtool, "test", "rules", file], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_drop_after_a_version_shows_everywhere_and_every_number_is_a_recount(
    deployment: Deployment,
    history: History,
    served: RunningWorker,
    tmp_path: Path,
    capsys: Capture,
    clean_environment: pytest.MonkeyPatch,
) -> None:
    del clean_environment
    rated = ratings(deployment, {})
    assert_all_say(deployment, served, rated, capsys)
    means = {app: {name: mean(row) for name, row in recount(rated, app, "version").items()} for app in APPS}
    assert means[DROPS]["2.0"] < means[DROPS]["1.0"] - 1
    assert all(means[app]["2.0"] == pytest.approx(means[app]["1.0"]) for app in APPS if app != DROPS)
    assert_rule_shows_the_drop(history.scrapes, means[DROPS]["2.0"], tmp_path)

    out = f"again-{deployment.mark}"
    deployment.kafka.create_topics({out: 2})
    words = ["--from", "earliest", "--to", history.half_at, "--version", SECOND, "--topic-out", out]
    done = completed("replay", *words, "--redis-prefix", f"{out}:", "--write-live", **deployment.settings)
    assert done.returncode == ExitCode.OK, done.stderr
    replayed = {seen.id: json.loads(seen.value) for seen in read_topic(deployment.kafka.bootstrap, out) if seen.value}
    assert len(replayed) == len(APPS) * EACH * SCRAPES * HALF
    assert {rating["rating"] for rating in replayed.values()} == {2}, "the other model rates otherwise"
    assert_all_say(deployment, served, ratings(deployment, replayed), capsys)

    gone = [f"{app}-{day}-0-{number}" for day in (1, DAYS - 2) for app in APPS for number in range(EACH)][:100]
    left = len(deployment.stored_ids()) - len(gone)
    deployment.produce(*(Message(None, key=key.encode()) for key in gone))
    history.worker.until(lambda: len(deployment.stored_ids()) == left, "a hundred are deleted")
    rated = ratings(deployment, replayed)
    assert len(rated) == left
    assert_all_say(deployment, served, rated, capsys)
