"""The worker's image: what is in it, and that it rates a review as an orchestrator runs it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.images.container import Container
from deploy.images.contents import configuration, parts
from deploy.process import free_port, wait_until
from deploy.redis import LocalRedis
from tests import PATIENCE_S
from tests.conftest import ROOT, TOY_REGISTRY, TOY_VERSION
from tests.fixtures.records import Message
from tests.fixtures.running import Deployment
from tests.fixtures.shared_kafka import SharedKafka

LIMIT_MB = 350
DRAIN_S = 20
COMPILERS = {"cc", "gcc", "g++", "c++", "clang", "cpp", "ld", "as", "make", "strip", "rustc", "cargo", "go"}
TRAINERS = {"tensorflow", "tensorflow_cpu", "keras", "nltk", "sklearn", "matplotlib", "jinja2"}
Start = Callable[..., Container]


def test_worker_image_is_small_and_says_what_is_in_it(worker_root: Path) -> None:
    found = parts(worker_root)
    shown = "\n".join(f"{part.megabytes:7.1f} MB  {part.name}" for part in found[:20])
    total = sum(part.megabytes for part in found)
    print(f"{shown}\n{total:7.1f} MB  in all")
    assert total < LIMIT_MB, shown


def test_worker_image_has_no_compiler_and_nothing_of_the_trainer(worker_root: Path) -> None:
    programs = {
        path.name
        for folder in ("usr/bin", "usr/local/bin", "opt/venv/bin")
        for path in (worker_root / folder).iterdir()
    }
    assert not programs & COMPILERS
    (site,) = (worker_root / "opt/venv/lib").glob("python3*/site-packages")
    assert not {path.name for path in site.iterdir()} & TRAINERS


def test_worker_image_has_the_packages_of_its_lock_at_those_versions(worker_root: Path) -> None:
    (site,) = (worker_root / "opt/venv/lib").glob("python3*/site-packages")
    plain = re.compile(r"[-_.]+")
    installed = {
        (plain.sub("-", name).lower(), version)
        for name, version in (path.name.removesuffix(".dist-info").rsplit("-", 1) for path in site.glob("*.dist-info"))
    }
    locked = set(re.findall(r"^([a-z0-9.-]+)==([^\s;]+)", (ROOT / "lock/worker.txt").read_text(encoding="utf-8"), re.M))
    others = {name for name, _ in installed - locked}
    assert others == {"starstream-reviews"}
    assert {"s3fs", "confluent-kafka", "uvicorn", "fastavro", "opentelemetry-sdk"} <= {name for name, _ in installed}


def test_worker_image_is_compiled_and_none_of_it_is_stale(worker_root: Path) -> None:
    """Bit 0 of the second word: checked by hash; bit 1: whether the source is looked at. 1 means never."""
    (site,) = (worker_root / "opt/venv/lib").glob("python3*/site-packages")
    compiled = list((site / "worker").rglob("*.pyc"))
    assert len(compiled) > 100
    assert {int.from_bytes(path.read_bytes()[4:8], "little") for path in compiled} == {1}


def test_worker_image_is_configured_as_orchestrators_expect(worker_image: str) -> None:
    config = configuration(worker_image)
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["python", "-m", "worker"]
    assert config["Cmd"] == ["run"]
    assert config["StopSignal"] in {"SIGTERM", "15"}
    assert list(config["ExposedPorts"]) == ["9464/tcp"]
    assert config["Healthcheck"]["Test"] == ["CMD", "python", "/opt/starstream/healthcheck.py"]
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"


@pytest.fixture
def start(worker_image: str, worker_root: Path, tmp_path: Path) -> Iterator[Start]:
    """Start words of the image's program, confined; stopped at the end of the test."""
    config = configuration(worker_image)
    with ExitStack() as stack:

        def run(*words: str, program: list[str] | None = None, **variables: str) -> Container:
            env = dict(line.split("=", 1) for line in config["Env"]) | variables
            command = [*(program or config["Entrypoint"]), *words]
            bundle = {"/models": str(TOY_REGISTRY)}
            log = tmp_path / "log"
            return stack.enter_context(
                Container(worker_root, command, user=config["User"], env=env, mounts=bundle, log=log)
            )

        yield run


def test_predict_runs_in_the_image_and_leaves_its_files_alone(start: Start, tmp_path: Path) -> None:
    probe = (
        "import os, sys; sys.exit(os.access('/opt', os.W_OK) or os.access('/models', os.W_OK) or os.getuid() != 10001)"
    )
    assert start(probe, program=["python", "-c"]).wait(PATIENCE_S) == 0
    rate = (
        'echo \'{"text": "love it"}\' > /tmp/in.jsonl; exec python -m worker predict --input /tmp/in.jsonl --output -'
    )
    code = start(rate, program=["sh", "-c"]).wait(PATIENCE_S)
    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert code == 0, said
    rated = [json.loads(line) for line in said.splitlines() if line.startswith("{") and '"rating"' in line]
    assert [row["model_version"] for row in rated] == [TOY_VERSION], said


def test_what_was_left_out_of_the_image_is_not_missed(start: Start, tmp_path: Path) -> None:
    """S3 with each way to sign in, and traces, load what they need."""
    code = """
import botocore.session
session = botocore.session.Session()
for service in ("s3", "sts", "sso", "sso-oidc"):
    session.create_client(service, "eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
import worker.traces.tracer, worker.traces.exporter
"""
    assert start(code, program=["python", "-c"]).wait(PATIENCE_S) == 0, (tmp_path / "log").read_text(encoding="utf-8")


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_image_rates_a_review_is_healthy_and_stops_within_its_deadline(
    client: str, start: Start, kafka: SharedKafka, redis_server: LocalRedis, tmp_path: Path
) -> None:
    with Deployment(kafka, redis_server.url, tmp_path) as world:
        port = str(free_port())
        settings = world.environ | {
            "WORKER_REGISTRY": "/models",
            "WORKER_KAFKA_CLIENT": client,
            "WORKER_HTTP_PORT": port,
            "WORKER_DRAIN_DEADLINE_S": str(DRAIN_S),
        }
        check = start("check", **settings)
        assert check.wait(PATIENCE_S) == 0, (tmp_path / "log").read_text(encoding="utf-8")
        worker = start(**settings, program=["python", "-m", "worker", "run"])
        log = tmp_path / "log"
        health = ["python", "/opt/starstream/healthcheck.py"]
        shutil.copy(log, tmp_path / "check.log")
        wait_until(lambda: start(program=health, WORKER_HTTP_PORT=port).wait(PATIENCE_S) == 0, PATIENCE_S, "healthy")
        status = worker.status()
        assert status["Uid"].split() == ["10001"] * 4
        assert (int(status["CapEff"], 16), int(status["CapBnd"], 16), status["NoNewPrivs"]) == (0, 0, "1")
        world.produce(Message(key=b"r-1", value=b'{"text": "love it", "review_id": "r-1"}'))
        wait_until(lambda: bool(world.stored("r-1")), PATIENCE_S, "the rating")
        assert world.stored("r-1")["model_version"] == TOY_VERSION
        code, took_s = worker.stop(PATIENCE_S)
        assert (code, took_s < DRAIN_S + 5) == (0, True)
        assert world.lag() == 0
