"""How a worker ends: one clear line, and the exit code that says what failed. Real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
import redis

from deploy.process import LOOPBACK, free_port
from deploy.redis import LocalRedis
from tests.conftest import TOY_REGISTRY, TOY_VERSION
from tests.fixtures.bundles import ToyRegistry
from tests.fixtures.records import Message
from tests.fixtures.running import Deployment, RunningWorker, completed
from tests.fixtures.shared_kafka import SharedKafka
from worker.__main__ import main
from worker.errors import ExitCode


def lines_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return its lines on standard error that are not logs."""
    logs = ("{", "INFO: Created TensorFlow")
    return [line for line in done.stderr.splitlines() if not line.startswith(logs)]


@pytest.mark.parametrize("processes", [1, 2])
def test_without_a_bundle_one_line_of_a_process_says_how_to_make_one(processes: int, tmp_path: Path) -> None:
    done = completed("run", registry=tmp_path / "models", processes=processes)
    assert done.returncode == ExitCode.MODEL
    for line in lines_of(done):
        assert line.startswith(f"starstream-worker: WORKER_REGISTRY={tmp_path / 'models'}: no bundle there")
        assert "starstream-trainer train" in line
    # The first to find out stops the others, which may not have come so far.
    assert 1 <= len(lines_of(done)) <= processes


def test_for_a_damaged_bundle_one_line_names_the_file(tmp_path: Path) -> None:
    registry = ToyRegistry(tmp_path / "models")
    registry.corrupt(TOY_VERSION)
    done = completed("run", registry=registry.root)
    assert done.returncode == ExitCode.MODEL
    (line,) = lines_of(done)
    assert "model.tflite: sha256 differs" in line


def test_for_a_port_in_use_one_line_names_the_variable() -> None:
    with socket.create_server((LOOPBACK, 0)) as other:
        port = other.getsockname()[1]
        done = completed("run", registry=TOY_REGISTRY, http_port=port, http_host=LOOPBACK)
    assert done.returncode == ExitCode.USAGE
    (line,) = lines_of(done)
    assert f"WORKER_HTTP_PORT={port}" in line


def test_a_wrong_redis_password_ends_with_five(deployment: Deployment, own_redis: LocalRedis) -> None:
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("requirepass", "right")
    url = f"redis://:wrong@{LOOPBACK}:{own_redis.port}/0"
    done = completed("run", **deployment.settings | {"redis_url": url})
    assert done.returncode == ExitCode.REDIS
    (line,) = lines_of(done)
    assert line.startswith("starstream-worker: redis: ")
    assert "wrong@" not in done.stderr


def test_no_number_of_exits_with_a_named_cause_makes_a_dead_letter_of_a_good_review(deployment: Deployment) -> None:
    """A Redis user without rights on `summary:*`, which no ping needs, and an orchestrator that restarts the worker."""
    allowed = [f"{deployment.prefix}{kind}:*" for kind in ("rating", "deleted", "attempts")]
    deployment.redis.acl_setuser("limited", enabled=True, nopass=True, categories=["+@all"], keys=allowed)
    host = str(deployment.settings["redis_url"]).partition("://")[2]
    for key in (b"r1", b"r2"):
        deployment.produce(Message(b'{"text": "love", "app_id": "a"}', key=key, partition=0))
    for _ in range(8):  # the seventh start once made it one
        worker = deployment.worker(redis_url=f"redis://limited:any@{host}")
        assert worker.ends() == ExitCode.REDIS
        assert "write ratings" in worker.child.log_tail(5)
    deployment.redis.acl_setuser("limited", enabled=True, nopass=True, keys=[f"{deployment.prefix}summary:*"])
    worker = deployment.worker(redis_url=f"redis://limited:any@{host}").ready()
    worker.until(lambda: deployment.lag() == 0, "both reviews committed")
    assert deployment.stored_ids() == {"r1", "r2"}
    assert deployment.read(deployment.dead) == []


@pytest.mark.usefixtures("clean_environment")
def test_check_shows_what_works_what_was_set_and_where_without_secrets(
    deployment: Deployment, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKER_KAFKA_SASL_PASSWORD", "a-secret")
    assert main(["check", *deployment.flags()]) == ExitCode.OK
    out = capsys.readouterr().out
    for part in ("model", "kafka", "redis"):
        assert f"ok     {part}" in out
    assert [line.split() for line in out.splitlines() if "WORKER_GROUP_ID" in line or "SASL" in line] == [
        ["WORKER_KAFKA_SASL_PASSWORD", "***", "environment"],
        ["WORKER_GROUP_ID", deployment.group, "flag"],
    ]
    assert (
        main(["check", "--json", "--all", *deployment.flags(redis_url="redis://me:a-secret@localhost:1/0")])
        == ExitCode.REDIS
    )
    out = capsys.readouterr().out
    found = json.loads(out)
    assert [entry["ok"] for entry in found["checks"]] == [True, True, False]
    assert found["settings"]["WORKER_REDIS_URL"]["value"] == "redis://me:***@localhost:1/0"
    assert found["settings"]["WORKER_LINGER_S"] == {"value": "0.01", "from": "default"}
    assert "a-secret" not in out


@pytest.mark.usefixtures("clean_environment")
@pytest.mark.parametrize(
    ("code", "name", "settings"),
    [
        (ExitCode.MODEL, "WORKER_REGISTRY", {"registry": "."}),
        (ExitCode.KAFKA, "WORKER_KAFKA_BOOTSTRAP_SERVERS", {"kafka_bootstrap_servers": "CLOSED"}),
        (ExitCode.KAFKA, "WORKER_OUTPUT_TOPIC", {"output_topic": "nowhere-at-all"}),
        (ExitCode.REDIS, "redis", {"redis_url": "redis://CLOSED/0"}),
    ],
)
def test_check_ends_with_the_code_of_the_first_failure(
    deployment: Deployment, capsys: pytest.CaptureFixture[str], code: ExitCode, name: str, settings: dict[str, str]
) -> None:
    closed = f"{LOOPBACK}:{free_port()}"
    given = {setting: value.replace("CLOSED", closed) for setting, value in settings.items()}
    assert main(["check", *deployment.flags(request_timeout_s=1, **given)]) == code
    assert name in capsys.readouterr().out


def stuck_worker(deployment: Deployment, server: LocalRedis, **settings: object) -> RunningWorker:
    """Return a worker that has read a review and waits for a Redis that does not answer."""
    settings |= {"redis_url": server.url, "redis_timeout_s": 30, "transaction_timeout_s": 70}
    worker = deployment.worker(**settings).ready()
    server.suspend()
    deployment.produce(Message(b"love"))
    worker.until(lambda: worker.total("starstream_reviews_consumed_total") == 1, "the review read")
    return worker


def test_a_second_signal_ends_the_process_at_once(deployment: Deployment, own_redis: LocalRedis) -> None:
    worker = stuck_worker(deployment, own_redis)
    try:
        os.kill(worker.child.pid, signal.SIGTERM)
        worker.until(lambda: worker.said("stopping"), "the first signal is logged")
        os.kill(worker.child.pid, signal.SIGTERM)
        assert worker.ends() == ExitCode.INTERRUPTED
    finally:
        own_redis.resume()


def test_a_drain_that_takes_too_long_ends_at_its_deadline(deployment: Deployment, own_redis: LocalRedis) -> None:
    worker = stuck_worker(deployment, own_redis, drain_deadline_s=1)
    try:
        os.kill(worker.child.pid, signal.SIGTERM)
        assert worker.ends() == ExitCode.DEADLINE
        assert worker.said("drain_deadline_passed")
    finally:
        own_redis.resume()
    successor = deployment.worker()
    successor.until(lambda: deployment.lag() == 0, "the uncommitted review is redelivered")


def test_a_signal_while_services_are_awaited_ends_with_zero(deployment: Deployment) -> None:
    worker = deployment.worker(redis_url=f"redis://{LOOPBACK}:{free_port()}/0")
    worker.until(lambda: "redis" in worker.reasons and worker.reasons["redis"] != "starting", "the wait")
    assert worker.stop() == ExitCode.OK


def test_a_missing_input_topic_is_named_and_awaited(deployment: Deployment, kafka: SharedKafka) -> None:
    late = f"{deployment.input}-late"
    worker = deployment.worker(input_topics=late)
    worker.until(lambda: f"{late}: no such topic" in json.dumps(worker.reasons), "the reason")
    kafka.create_topics({late: 1})
    worker.ready()
    assert worker.stop() == ExitCode.OK


def test_the_error_that_ends_a_worker_is_scraped_before_it_ends(deployment: Deployment, own_redis: LocalRedis) -> None:
    """Otherwise the counter dies with the process, and StarstreamSinkFailing never fires."""
    worker = deployment.worker(redis_url=own_redis.url).ready()
    for _ in range(2):
        worker.samples()  # as Prometheus does
    with redis.Redis(port=own_redis.port) as admin:
        admin.execute_command("ACL", "SETUSER", "default", "-hset", "-evalsha", "-hmget")
    deployment.produce(Message(b"love it"))
    worker.until(lambda: worker.total("starstream_sink_errors_total", kind="permanent") >= 1, "the error on the page")
    assert worker.ends() == ExitCode.REDIS
