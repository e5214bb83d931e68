"""docker-compose.yml as one system: every service that has a program here, by its own command and variables.

What a container provides is replaced: host names, ports, folders, `/opt/kafka/bin` (the same tools, from Maven) and
Compose's DNS. What only Docker can do is not seen: the images of others, users and capabilities, read-only file
systems, limits, restarts, volumes, and Grafana, of which there is no program outside its image. `tests/images` runs our
own image unprivileged and read-only.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import pytest
import redis
import yaml

from deploy.page import fetch
from deploy.process import LOOPBACK, ChildProcess, free_port, wait_until
from deploy.redis import LocalRedis
from tests import PATIENCE_S
from tests.conftest import TOY_REGISTRY, TOY_VERSION, missing, serving
from tests.deploy.assets import DOCKERFILE, PROMETHEUS, ROOT, compose, seconds
from tests.deploy.compose_kafka import ComposeKafka, ensure_tools
from tests.fixtures.records import read_topic
from tests.fixtures.rest import post

SERVICES: Final[dict[str, dict[str, Any]]] = compose()["services"]
TOOLS: Final = {
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
    "kafka-broker-api-versions.sh": "org.apache.kafka.tools.BrokerApiVersionsCommand",
}
GRACE_S: Final = {name: seconds(SERVICES[name]["stop_grace_period"]) for name in ("worker", "rest")}


class Host:
    """This machine in place of the containers: what their words are called here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kafka = ComposeKafka()
        self.redis = LocalRedis(data_dir=folder / "redis", extra_args=SERVICES["redis"]["command"][1:])
        for name, tool in TOOLS.items():
            path = folder / name
            java = f"{self.kafka.java[0]} -cp '{ensure_tools()}/*'"
            path.write_text(f'#!/bin/sh\nexec {java} $KAFKA_HEAP_OPTS {tool} "$@"\n', encoding="utf-8")
            path.chmod(0o755)

    def word(self, word: str) -> str:
        """Return a word of a command or a variable's value as it is here."""
        for there, here in {
            "/opt/kafka/bin/": f"{self.folder}/",
            "/opt/starstream/healthcheck.py": str(ROOT / "deploy/docker/healthcheck.py"),
            "/opt/starstream/trainer.sh": str(ROOT / "deploy/docker/trainer.sh"),
            "kafka:9092": f"{LOOPBACK}:{self.kafka.internal_port}",
            "localhost:9092": f"{LOOPBACK}:{self.kafka.host_port}",
            "redis://redis:6379": self.redis.url.removesuffix("/0"),
            "/models": str(TOY_REGISTRY),
        }.items():
            word = word.replace(there, here)
        return word

    def command(self, words: list[str], variables: Mapping[str, Any]) -> list[str]:
        """Return a command with exactly these variables."""
        environ = {name: self.word(str(value)) for name, value in variables.items()}
        path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        given = [f"{name}={value}" for name, value in {"PATH": path, **environ}.items()]
        return ["/usr/bin/env", "-i", *given, *map(self.word, words)]

    def check(self, service: str, **variables: str) -> bool:
        """Run a service's health check."""
        kind, *words = SERVICES[service]["healthcheck"]["test"]
        command = self.command(words if kind == "CMD" else ["/bin/sh", "-c", *words], variables)
        return subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False).returncode == 0


@dataclass(frozen=True)
class Stack:
    """The running system."""

    host: Host
    workers: list[ChildProcess]
    rest: ChildProcess
    rest_port: int
    prometheus_port: int


def image(name: str) -> list[str]:
    """Return a word list of our Dockerfile, `ENTRYPOINT` or `CMD`: the last, which is the worker's."""
    *_, found = re.findall(rf"^{name} (\[.*\])$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)
    words: list[str] = json.loads(found)
    return words


def start_ours(host: Host, stack: ExitStack, service: str, port: int) -> ChildProcess:
    """Start a service of our image and wait until its health check says yes."""
    definition = SERVICES[service]
    words = [*image("ENTRYPOINT"), *definition.get("command", image("CMD"))]
    ports = {name: port for name in ("WORKER_HTTP_PORT", "WORKER_REST_PORT") if name in definition["environment"]}
    command = host.command(words, {**definition["environment"], **ports})
    child = ChildProcess(command, log_path=host.folder / f"{service}-{port}.log", cwd=ROOT)
    stack.callback(child.terminate, PATIENCE_S)
    child.wait_ready(lambda: host.check(service, WORKER_HTTP_PORT=str(port)), PATIENCE_S)
    return child


def start_prometheus(host: Host, stack: ExitStack, targets: Mapping[str, list[str]]) -> int:
    """Start the service with its own flags, configuration and rules; Compose's DNS is a list of addresses."""
    program = shutil.which("prometheus")
    if program is None:
        missing("no `prometheus` on PATH")
    folder = host.folder / "prometheus"
    shutil.copytree(PROMETHEUS.parent / "rules", folder / "rules")
    config = yaml.safe_load(PROMETHEUS.read_text(encoding="utf-8"))
    port = free_port()
    for job in config["scrape_configs"]:
        for found in job.pop("dns_sd_configs", ()):
            (name,) = found["names"]
            job["static_configs"] = [{"targets": targets[name]}]
        job["static_configs"] = json.loads(
            json.dumps(job["static_configs"]).replace("localhost:9090", f"{LOOPBACK}:{port}")
        )
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    flags = [
        flag.replace("/etc/prometheus", str(folder)).replace("=/prometheus", f"={folder / 'data'}")
        for flag in SERVICES["prometheus"]["command"]
    ]
    command = [str(program), *flags, f"--web.listen-address={LOOPBACK}:{port}"]
    child = ChildProcess(command, log_path=host.folder / "prometheus.log")
    stack.callback(child.terminate, PATIENCE_S)
    # Its own health check needs a promtool of 2.44 or newer; it asks for the same page.
    child.wait_ready(lambda: fetch(f"http://{LOOPBACK}:{port}/-/ready")[0] == HTTPStatus.OK, PATIENCE_S)
    return port


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    host = Host(tmp_path_factory.mktemp("compose"))
    with ExitStack() as stack:
        stack.enter_context(serving(host.kafka))
        assert host.check("kafka"), "the broker's own health check"
        topics = SERVICES["topics"]
        command = host.command([*topics["entrypoint"], *topics["command"]], topics["environment"])
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        stack.enter_context(serving(host.redis))
        ports = [free_port() for _ in range(3)]
        workers = [start_ours(host, stack, "worker", port) for port in ports[:2]]
        rest = start_ours(host, stack, "rest", ports[2])
        targets = {"worker": [f"{LOOPBACK}:{port}" for port in ports[:2]], "rest": [f"{LOOPBACK}:{ports[2]}"]}
        yield Stack(host, workers, rest, ports[2], start_prometheus(host, stack, targets))


def value(running: Stack, query: str) -> float:
    """Return what Prometheus says now; -1 when it says nothing."""
    _, body = fetch(f"http://{LOOPBACK}:{running.prometheus_port}/api/v1/query?query={query}")
    found = json.loads(body)["data"]["result"]
    return float(found[0]["value"][1]) if found else -1.0


def says(running: Stack, query: str, expected: float) -> bool:
    return value(running, query) == expected


def test_the_whole_of_compose_rates_what_is_posted_and_prometheus_sees_it_and_all_stop_in_their_time(
    running: Stack,
) -> None:
    host = running.host
    reviews = [{"text": "good", "review_id": f"r{number}", "app_id": "maps"} for number in range(30)]
    answer = post(running.rest_port, "/v1/reviews", {"reviews": reviews})
    assert answer.status_code == 202
    with redis.Redis.from_url(host.redis.url, decode_responses=True) as client:
        wait_until(lambda: len(list(client.scan_iter("rating:*"))) == 30, PATIENCE_S, "the ratings in Redis")
        found: Any = client.hgetall("rating:{r7}")
        assert (found["rating"], found["model_version"]) == ("5", TOY_VERSION)
    host_listener = f"{LOOPBACK}:{host.kafka.host_port}"
    wait_until(lambda: len(list(read_topic(host_listener, "ratings"))) == 30, PATIENCE_S, "the ratings on the topic")
    assert post(running.rest_port, "/v1/ratings", {"text": "bad"}).json()["rating"] == 1
    for query, expected in {
        "sum(up%7Bjob%3D%22starstream-worker%22%7D)": 2.0,
        "sum(up%7Bjob%3D%22starstream-rest%22%7D)": 1.0,
        "sum(up%7Bjob%3D%22prometheus%22%7D)": 1.0,
        "sum(starstream_reviews_settled_total%7Boutcome%3D%22rated%22%2Cjob%3D%22starstream-worker%22%7D)": 30.0,
    }.items():
        wait_until(partial(says, running, query, expected), PATIENCE_S, query)
    for name, children in {"worker": running.workers, "rest": [running.rest]}.items():
        assert [child.terminate(GRACE_S[name]) for child in children] == [0] * len(children), name


def test_compose_trainer_runs_its_entry_point(tmp_path: Path) -> None:
    """Without a container its working folder is not /, so `models` is a link there; training is another test's."""
    script = ROOT / "deploy/docker/trainer.sh"
    variables = [f"PATH={Path(sys.executable).parent}:/usr/bin:/bin", f"PYTHONPATH={ROOT}"]
    (tmp_path / "models").symlink_to(TOY_REGISTRY)
    command = ["/usr/bin/env", *variables, "sh", str(script), "list"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    assert TOY_VERSION in done.stdout
