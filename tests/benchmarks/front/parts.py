"""`python -m tests.benchmarks.front.parts`: what a request of 1,000 texts is made of, CPU us a review, in one process.

No socket and no event loop of a server: the body is read, its reviews are queued, rated in batches, and written as the
answer, one after the other on one thread, by the front's own parts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from itertools import islice
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry
from starlette.requests import Request

from tests.benchmarks.corpus import ROOT, read_corpus
from tests.benchmarks.machine import this_machine
from tests.benchmarks.report import markdown_table
from worker.clock import SystemClock
from worker.ops.health import Health
from worker.ops.logs import configure_logs
from worker.ops.metrics import Metrics
from worker.records import Rated, Rejected
from worker.rest.front import Front
from worker.rest.ratings import rating_json
from worker.rest.request import Bodies, Posted
from worker.rest.server import start_front
from worker.settings import WorkerSettings
from worker.wiring import Process, calm_collector

_TEXTS: Final = 1000
_BODIES: Final = 8


def main() -> int:
    """Measure and print a table; return 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.front.parts", description=__doc__)
    parser.add_argument("--registry", type=Path, default=ROOT / "models", help="folder of bundles (default models/)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="times 8 requests (default 5)")
    arguments = parser.parse_args()
    settings, clock = WorkerSettings(registry=str(arguments.registry), reload_interval_s=0), SystemClock()
    health = Health(clock, stall_s=60, parts=("model",))
    process = Process(settings, clock, configure_logs("warning", "text"), Metrics(CollectorRegistry()), health)
    front = start_front(process, threading.Event())
    texts = list(islice(read_corpus().texts, _TEXTS * _BODIES))
    bodies = [json.dumps({"reviews": texts[at : at + _TEXTS]}).encode() for at in range(0, len(texts), _TEXTS)]
    calm_collector()
    spent: defaultdict[str, float] = defaultdict(float)
    with asyncio.Runner() as runner:
        for body in bodies[:2]:
            _ask(front, body, runner, defaultdict(float))
        for body in bodies * arguments.rounds:
            _ask(front, body, runner, spent)
    reviews = arguments.rounds * len(texts)
    rows = [[name, f"{seconds / reviews * 1e6:.1f}"] for name, seconds in spent.items()]
    print(f"{this_machine()}\n")
    print("\n".join(markdown_table([["part", "CPU us a review"], *rows])))
    return 0


def _ask(front: Front, body: bytes, runner: asyncio.Runner, spent: defaultdict[str, float]) -> None:
    answered: list[list[Rated | Rejected]] = []
    posted: list[Posted] = []

    async def read() -> None:  # returns nothing: the runner writes out what a task returned
        posted.append(await bodies.reviews(_request(body)))

    bodies = Bodies(front.process.settings, front.process.clock)
    marks = [time.process_time()]
    runner.run(read())
    marks.append(time.process_time())
    front.rater.submit(posted[0].reviews, answered.append)
    marks.append(time.process_time())
    while not answered:
        front.rater.step()
    marks.append(time.process_time())
    rating_json([outcome for outcome in answered[0] if isinstance(outcome, Rated)], many=True)
    marks.append(time.process_time())
    names = ("read the body", "queue the reviews", "rate them", "write the answer")
    for name, began, ended in zip(names, marks, marks[1:], strict=False):
        spent[name] += ended - began


def _request(body: bytes) -> Request:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    scope = {"type": "http", "method": "POST", "path": "/v1/ratings", "headers": headers, "client": ("127.0.0.1", 1)}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    waiting: Callable[[], Awaitable[Any]] = receive
    return Request(scope, waiting)


if __name__ == "__main__":
    sys.exit(main())
