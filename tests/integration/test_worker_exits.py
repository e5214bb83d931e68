"""How a worker ends: one clear line, and the exit code that says what failed. Real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from deploy.kafka import LocalKafka
from deploy.process import LOOPBACK, free_port
from deploy.redis import LocalRedis
from tests import PATIENCE_S
from tests.conftest import ROOT, TOY_REGISTRY, serving
from tests.fixtures.running import Deployment, Message
from worker.errors import ExitCode


def run(command: str, *flags: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the worker to its end, with nothing set but what is given."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("WORKER_")}
    environ |= {f"WORKER_{name.upper()}": value for name, value in variables.items()}
    environ.setdefault("WORKER_HTTP_PORT", "0")
    return subprocess.run(
        [sys.executable, "-m", "worker", command, *flags],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def lines_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return its lines on standard error that are not logs."""
    logs = ("{", "INFO: Created TensorFlow")
    return [line for line in done.stderr.splitlines() if not line.startswith(logs)]


def variables(deployment: Deployment) -> dict[str, str]:
    return {name.removeprefix("WORKER_").lower(): value for name, value in deployment.environ.items()}


@pytest.fixture
def locked_redis() -> Iterator[LocalRedis]:
    """A Redis with a password, and one a test may stop or freeze."""
    with serving(LocalRedis(extra_args=("--requirepass", "right"))) as server:
        yield server


def test_without_a_bundle_one_line_says_how_to_make_one(tmp_path: Path) -> None:
    done = run("run", registry=str(tmp_path / "models"))
    assert done.returncode == ExitCode.MODEL
    (line,) = lines_of(done)
    assert line.startswith(f"starstream-worker: WORKER_REGISTRY={tmp_path / 'models'}: no bundle there")
    assert "python -m trainer train" in line


def test_for_a_damaged_bundle_one_line_names_the_file(tmp_path: Path) -> None:
    for source in TOY_REGISTRY.rglob("*.*"):
        if source.is_file():
            target = tmp_path / source.relative_to(TOY_REGISTRY)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes() + (b"!" if source.name == "model.tflite" else b""))
    done = run("run", registry=str(tmp_path))
    assert done.returncode == ExitCode.MODEL
    (line,) = lines_of(done)
    assert "model.tflite: sha256 differs" in line


@pytest.mark.parametrize("processes", ["1", "2"])
def test_for_a_wrong_variable_one_line_names_it(processes: str) -> None:
    done = run("run", linger_s="99", processes=processes)
    assert done.returncode == ExitCode.USAGE
    assert lines_of(done) == ["starstream-worker: WORKER_LINGER_S: Input should be less than or equal to 10"]


def test_several_processes_without_a_bundle_end_as_one_does(tmp_path: Path) -> None:
    done = run("run", "--processes", "2", registry=str(tmp_path))
    assert done.returncode == ExitCode.MODEL
    assert all("no bundle there" in line for line in lines_of(done))


def test_for_a_port_in_use_one_line_names_the_variable() -> None:
    with LocalRedis() as other:
        done = run("run", registry=str(TOY_REGISTRY), http_port=str(other.port), http_host=LOOPBACK)
    assert done.returncode == ExitCode.USAGE
    (line,) = lines_of(done)
    assert f"WORKER_HTTP_PORT={other.port}" in line


def test_a_wrong_redis_password_ends_with_five(deployment: Deployment, locked_redis: LocalRedis) -> None:
    url = f"redis://:wrong@{LOOPBACK}:{locked_redis.port}/0"
    done = run("run", **variables(deployment) | {"redis_url": url})
    assert done.returncode == ExitCode.REDIS
    (line,) = lines_of(done)
    assert line.startswith("starstream-worker: redis: ")
    assert "wrong@" not in done.stderr


def test_no_number_of_exits_with_a_named_cause_makes_a_dead_letter_of_a_good_review(deployment: Deployment) -> None:
    """A Redis user without rights on `deleted:*`, and an orchestrator that restarts the worker."""
    allowed = [f"{deployment.prefix}{kind}:*" for kind in ("rating", "summary", "attempts")]
    deployment.redis.acl_setuser("limited", enabled=True, nopass=True, categories=["+@all"], keys=allowed)
    host = deployment.redis_url.partition("://")[2]
    deployment.produce(Message(b"love", key=b"r1", partition=0), Message(b"bad", key=b"r2", partition=0))
    for _ in range(10):
        assert deployment.worker(redis_url=f"redis://limited:any@{host}").ends() == ExitCode.REDIS
    deployment.redis.acl_setuser("limited", enabled=True, nopass=True, keys=[f"{deployment.prefix}deleted:*"])
    worker = deployment.worker(redis_url=f"redis://limited:any@{host}").ready()
    worker.until(lambda: deployment.lag() == 0, "both reviews committed")
    assert deployment.stored_ids() == {"r1", "r2"}
    assert deployment.read(deployment.dead) == []


def test_check_shows_what_works_and_masks_secrets(deployment: Deployment) -> None:
    done = run("check", **variables(deployment))
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    for part in ("model", "kafka", "redis"):
        assert f"ok     {part}" in done.stdout
    assert deployment.group in done.stdout
    assert deployment.redis_url not in done.stdout


def test_check_ends_with_the_code_of_the_first_failure(deployment: Deployment, tmp_path: Path) -> None:
    closed = free_port()
    broken: Mapping[str, tuple[ExitCode, dict[str, str]]] = {
        "model": (ExitCode.MODEL, {"registry": str(tmp_path)}),
        "kafka": (ExitCode.KAFKA, {"kafka_bootstrap_servers": f"{LOOPBACK}:{closed}", "request_timeout_s": "1"}),
        "topic": (ExitCode.KAFKA, {"output_topic": "nowhere-at-all"}),
        "redis": (ExitCode.REDIS, {"redis_url": f"redis://{LOOPBACK}:{closed}/0"}),
    }
    named = {"model": "WORKER_REGISTRY", "kafka": "WORKER_KAFKA_BOOTSTRAP_SERVERS", "topic": "WORKER_OUTPUT_TOPIC"}
    for part, (code, more) in broken.items():
        done = run("check", **variables(deployment) | more)
        assert done.returncode == code, done.stdout
        assert named.get(part, "redis") in done.stdout
        assert "Traceback" not in done.stderr


def test_a_second_signal_ends_the_process_at_once(deployment: Deployment, locked_redis: LocalRedis) -> None:
    worker = deployment.worker(
        redis_url=f"redis://:right@{LOOPBACK}:{locked_redis.port}/0", redis_timeout_s="30", transaction_timeout_s="70"
    ).ready()
    locked_redis.suspend()
    try:
        deployment.produce(Message(b"love"))
        worker.until(lambda: worker.total("starstream_reviews_consumed_total") == 1, "the review read")
        os.kill(worker.child.pid, signal.SIGTERM)
        worker.until(lambda: worker.said("stopping"), "the first signal is logged")
        os.kill(worker.child.pid, signal.SIGTERM)
        assert worker.ends() == ExitCode.INTERRUPTED
    finally:
        locked_redis.resume()


def test_a_drain_that_takes_too_long_ends_at_its_deadline(deployment: Deployment, locked_redis: LocalRedis) -> None:
    url = f"redis://:right@{LOOPBACK}:{locked_redis.port}/0"
    worker = deployment.worker(
        redis_url=url, redis_timeout_s="30", transaction_timeout_s="70", drain_deadline_s="1"
    ).ready()
    locked_redis.suspend()
    try:
        deployment.produce(Message(b"love"))
        worker.until(lambda: worker.total("starstream_reviews_consumed_total") == 1, "the review read")
        os.kill(worker.child.pid, signal.SIGTERM)
        assert worker.ends() == ExitCode.DEADLINE
        assert worker.said("drain_deadline_passed")
    finally:
        locked_redis.resume()
    successor = deployment.worker()
    successor.until(lambda: deployment.lag() == 0, "the uncommitted review is redelivered")


def test_a_signal_while_services_are_awaited_ends_with_zero(deployment: Deployment) -> None:
    worker = deployment.worker(redis_url=f"redis://{LOOPBACK}:{free_port()}/0")
    worker.until(lambda: "redis" in worker.reasons and worker.reasons["redis"] != "starting", "the wait")
    assert worker.stop() == ExitCode.OK


def test_a_missing_input_topic_is_named_and_awaited(deployment: Deployment, kafka: LocalKafka) -> None:
    late = f"{deployment.input}-late"
    worker = deployment.worker(input_topics=late)
    worker.until(lambda: f"{late}: no such topic" in json.dumps(worker.reasons), "the reason")
    kafka.create_topics({late: 1})
    worker.ready()
    assert worker.stop() == ExitCode.OK
