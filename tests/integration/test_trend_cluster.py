"""A worker and its successor on a Redis Cluster: what `get`, REST and `restore` say equals a recount of the topic."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from deploy.redis import LocalRedis
from tests.chaos.workers import Worker
from tests.fixtures.clustered import cluster_with_replicas, fail_over
from tests.fixtures.records import Message
from tests.fixtures.rest import send, serving_rest
from tests.fixtures.running import Deployment, completed
from worker.__main__ import main
from worker.errors import ExitCode

APPS = ("maps", "notes", "shop")
NOW = datetime.now(UTC)


@pytest.fixture
def nodes(redis_server: LocalRedis) -> Iterator[Sequence[LocalRedis]]:
    del redis_server  # skips where there is no Redis
    with cluster_with_replicas() as made:
        yield made


@pytest.fixture
def clustered(deployment: Deployment, nodes: Sequence[LocalRedis]) -> Deployment:
    deployment.settings |= {
        "redis_url": nodes[1].url,
        "redis_cluster": True,
        "redis_form": 2,
        "redis_wait_replicas": 1,
        "batch_reviews": 100,
    }
    client: Any = redis.RedisCluster.from_url(nodes[1].url, decode_responses=True)
    deployment.redis.close()
    deployment.redis = client
    return deployment


def review(number: int, *, text: str = "good", moved: int = 0) -> Message:
    value = {
        "text": text,
        "app_id": APPS[(number + moved) % 3],
        "app_version": f"{number % 2}.0",
        "created_at": (NOW - timedelta(hours=number % 100)).isoformat(),
    }
    return Message(json.dumps(value).encode(), f"r{number}".encode())


def recount(deployment: Deployment, app: str) -> dict[str, Counter[str]]:
    """Count the topic's last rating of each review, by version."""
    last = {seen.id: seen.value for seen in deployment.read(deployment.output)}
    rows: dict[str, Counter[str]] = {}
    for value in filter(None, last.values()):
        rating = json.loads(value)
        if rating["app_id"] == app:
            rows.setdefault(rating["app_version"], Counter())[str(rating["rating"])] += 1
    return rows


def assert_exact(deployment: Deployment, capsys: pytest.CaptureFixture[str], **settings: object) -> int:
    """Compare what `get` says of every app; return the number of reviews."""
    counted = 0
    for app in APPS:
        expected = recount(deployment, app)
        get = ["get", "--app", app, "--json", *deployment.flags(**settings)]
        assert main([*get, "--since", "7d", "--by", "version"]) == ExitCode.OK
        rows = json.loads(capsys.readouterr().out)["rows"]
        assert {row["name"]: Counter(row["stars"]) for row in rows} == expected
        assert main(get) == ExitCode.OK
        summary = json.loads(capsys.readouterr().out)
        assert Counter(summary["stars"]) == sum(expected.values(), Counter())
        counted += summary["count"]
    return counted


def test_counts_in_a_cluster_survive_crashes_between_the_steps_and_a_failover(
    clustered: Deployment,
    nodes: Sequence[LocalRedis],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    clean_environment: pytest.MonkeyPatch,
) -> None:
    del clean_environment
    clustered.produce(*(review(number) for number in range(600)))
    dying = Worker("dying", tmp_path, clustered.flags(), faults=["--fail=half_counted:die:2"])
    assert dying.ends() == -9, dying.child.log_tail()
    late = Worker("late", tmp_path, clustered.flags(), faults=["--fail=uncounted:stop:1"])
    late.wait_stopped()
    worker = clustered.worker().ready()
    worker.until(lambda: clustered.lag() == 0, "all rated")
    assert assert_exact(clustered, capsys) == 600
    fail_over(nodes, nodes[0])
    clustered.produce(*(review(number, text="bad", moved=number % 2) for number in range(300)))
    clustered.produce(*(Message(None, f"r{number}".encode()) for number in range(0, 600, 6)))
    worker.until(lambda: clustered.lag() == 0, "re-rated, moved and deleted")
    os.kill(late.child.pid, signal.SIGCONT)
    late.drain()
    assert assert_exact(clustered, capsys) == 500, "the second step of a worker that had lost its partitions is refused"
    with serving_rest(tmp_path, clustered.environ) as served:
        answer = send(served, "/v1/apps/maps/summary", method="GET").json()
        assert Counter(answer["stars"]) == sum(recount(clustered, "maps").values(), Counter())
    assert worker.stop() == ExitCode.OK
    elsewhere = {"redis_prefix": f"restored-{clustered.mark}:"}
    done = completed("restore", **{**clustered.settings, **elsewhere})
    assert done.returncode == ExitCode.OK, done.stderr
    assert assert_exact(clustered, capsys, **elsewhere) == 500
