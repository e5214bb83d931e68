"""A Redis that has lost its data, and `restore` beside a running worker: real services, real processes."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from tests.fixtures.records import Message
from tests.fixtures.running import Deployment, completed
from worker.errors import ExitCode


def message(number: int, text: str | None = "love it") -> Message:
    value = None if text is None else json.dumps({"text": text, "app_id": f"app-{number % 3}"}).encode()
    return Message(value, f"r{number}".encode())


def restore(deployment: Deployment, *flags: str) -> str:
    done = completed("restore", *flags, **deployment.settings)
    assert done.returncode == ExitCode.OK, done.stderr
    return done.stderr


def lose(deployment: Deployment) -> None:
    for key in deployment.redis.scan_iter(match=f"{deployment.prefix}*"):
        deployment.redis.delete(key)


def contents(deployment: Deployment) -> dict[str, Any]:
    """Return ratings and summaries, without what tells a restored rating from a worker's."""
    found: dict[str, Any] = {}
    for kind in ("rating", "summary"):
        for key in deployment.redis.scan_iter(match=f"{deployment.prefix}{kind}:*"):
            fields: Any = deployment.redis.hgetall(key)
            found[key] = {name: value for name, value in fields.items() if name != "source_topic_id" and value != "0"}
    return found


def test_a_lost_redis_is_filled_again_beside_a_running_worker(deployment: Deployment) -> None:
    worker = deployment.worker().ready()
    deployment.produce(*(message(number) for number in range(400)))
    deployment.produce(*(message(number, "bad" if number % 2 else None) for number in range(100)))
    worker.until(lambda: deployment.lag() == 0, "all committed")
    before = contents(deployment)
    whole = {key: deployment.redis.hgetall(key) for key in before}
    assert "restored: 0 ratings and 0 deletions written" in restore(deployment)
    assert {key: deployment.redis.hgetall(key) for key in before} == whole, "what workers wrote stays as it is"
    lose(deployment)
    assert "400 ratings" not in restore(deployment, "--to", "0")
    assert contents(deployment) == {}
    said = restore(deployment)
    assert "450 ratings and 50 deletions written" in said
    assert contents(deployment) == before
    # A worker writes on while the topic is restored.
    lose(deployment)
    deployment.produce(*(message(number, "bad") for number in range(300, 500)))
    restore(deployment)
    worker.until(lambda: deployment.lag() == 0, "all committed")
    restore(deployment)
    last = {record.key: record.value for record in deployment.read(deployment.output)}
    live = {(key or b"").decode(): json.loads(value) for key, value in last.items() if value is not None}
    assert deployment.stored_ids() == live.keys()
    assert {name: int(deployment.stored(name)["rating"]) for name in live} == {
        name: rating["rating"] for name, rating in live.items()
    }
    counted = Counter(rating["app_id"] for rating in live.values())
    for app_id, count in counted.items():
        assert deployment.redis.hget(f"{deployment.prefix}summary:{{{app_id}}}", "count") == str(count)
    assert worker.stop() == ExitCode.OK
