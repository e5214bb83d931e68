"""The demo's parts: Kafka, Redis and a worker, started on free ports and stopped with the demo.

Owns starting and stopping them. It takes a real Kafka when Java and Maven are installed, otherwise the embedded
stand-in, and prints which.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from rich.console import Console

from deploy.demo.step import step
from deploy.kafka.broker import LocalKafka
from deploy.kafka.embedded import EmbeddedKafka
from deploy.kafka.errors import KafkaUnavailable
from deploy.page import fetch
from deploy.process import free_port, wait_until
from deploy.redis.server import LocalRedis

AGAIN: Final = "ratings.again"  # of a replay
TOPICS: Final = {"reviews": 6, "ratings": 6, "reviews.dlq": 1, AGAIN: 6}


@dataclass(frozen=True, slots=True)
class Stack:
    """Addresses of what runs."""

    bootstrap: str
    redis_url: str
    worker_url: str
    registry: str
    api_version: tuple[int, int] | None  # of the stand-in, which kafka-python cannot ask

    @property
    def client_options(self) -> dict[str, Any]:
        """What a kafka-python client needs to reach Kafka."""
        version = {"api_version": self.api_version} if self.api_version else {}
        return {"bootstrap_servers": self.bootstrap, **version}

    @property
    def variables(self) -> dict[str, str]:
        """The settings of its worker, and of a command that is to find it."""
        found = {
            "WORKER_KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
            "WORKER_REDIS_URL": self.redis_url,
            "WORKER_REDIS_FORM": "2",  # no older worker shares this Redis; with it the apps have a trend
            "WORKER_REGISTRY": self.registry,
            "WORKER_HTTP_HOST": "127.0.0.1",
            "WORKER_HTTP_PORT": self.worker_url.rpartition(":")[2],
            "WORKER_PROCESSES": "2",
        }
        if self.api_version is not None:
            # The stand-in has no transactions, gives a second member of a group nothing, and forms groups slowly.
            found |= {
                "WORKER_DELIVERY": "at_least_once",
                "WORKER_PROCESSES": "1",
                "WORKER_SESSION_TIMEOUT_S": "6",
                "WORKER_KAFKA_API_VERSION": ".".join(map(str, self.api_version)),
            }
        return found

    def fetch(self, path: str) -> str:
        """Return the worker's answer at `path`, whatever its status; empty when it does not answer."""
        return fetch(f"{self.worker_url}{path}")[1]


@contextmanager
def running(
    registry: Path, log: Path, console: Console, variables: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Stack]:
    """Start everything, wait until the worker is ready, and stop it all at the end.

    The worker's own `variables` override the demo's, and its log goes to `log`.

    Raises:
        LocalServiceError: a part did not start; the message says what to do.
    """
    with ExitStack() as parts:
        kafka = _kafka(parts, console)
        with step(console, "starting Redis"):
            redis = parts.enter_context(LocalRedis())
        console.print(f"redis    {redis.url}", highlight=False)
        api_version = kafka.api_version if isinstance(kafka, EmbeddedKafka) else None
        url = f"http://127.0.0.1:{free_port()}"
        stack = Stack(kafka.bootstrap, redis.url, url, str(registry), api_version)
        worker = parts.enter_context(_worker("run", stack, log, variables))
        console.print(f"worker   {url}  (log: {log})", highlight=False)

        def ready() -> bool:
            if worker.poll() is not None:
                raise RuntimeError(f"the worker ended with exit code {worker.returncode}; see {log}")
            return '"ready": true' in stack.fetch("/readyz")

        with step(console, "waiting until the worker has its partitions"):
            wait_until(ready, 60.0, f"worker ready at {url}/readyz; see {log}")
        yield stack


@contextmanager
def serving_page(stack: Stack, log: Path) -> Iterator[str]:
    """Serve REST and the page beside the worker, and return the page's address once it answers.

    Raises:
        RuntimeError: it ended.
    """
    port = free_port()
    url = f"http://localhost:{port}"
    with _worker("serve", stack, log, {"WORKER_REST_PORT": str(port)}) as process:

        def ready() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"serve ended with exit code {process.returncode}; see {log}")
            return '"ready":true' in fetch(f"{url}/readyz")[1]

        wait_until(ready, 60.0, f"serve ready at {url}/readyz; see {log}")
        yield url


def _kafka(parts: ExitStack, console: Console) -> LocalKafka | EmbeddedKafka:
    try:
        with step(console, "starting Kafka (the first time Maven downloads it)"):
            kafka = parts.enter_context(LocalKafka())
            kafka.create_topics(TOPICS)
    except KafkaUnavailable as error:
        stand_in = parts.enter_context(EmbeddedKafka())
        stand_in.create_topics(TOPICS)
        console.print(f"kafka    {stand_in.bootstrap}  embedded stand-in, at-least-once ({error})", highlight=False)
        return stand_in
    console.print(f"kafka    {kafka.bootstrap}  a real broker, exactly-once", highlight=False)
    return kafka


@contextmanager
def _worker(command: str, stack: Stack, log: Path, more: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as lines:
        worker = subprocess.Popen(
            [sys.executable, "-m", "worker", command],
            env={**os.environ, **stack.variables, **more},
            stdout=lines,
            stderr=lines,
        )
    try:
        yield worker
    finally:
        worker.terminate()
        try:
            worker.wait(timeout=40)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
