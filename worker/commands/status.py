"""`status`: the deployment in one screen: what waits, who works, which model serves, what was rejected.

Owns the questions and the look. Everything is asked from outside, of the brokers, Redis, the registry and one worker's
page, so it answers while workers do not. A part that cannot be asked says why, and the others are shown.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from types import SimpleNamespace
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.clock import SystemClock
from worker.errors import ExitCode, WorkerError
from worker.kafka.clients import group_members
from worker.kafka.offset_range import EARLIEST, LATEST
from worker.kafka.python.topics import Topics
from worker.model.registry import read_channels
from worker.ops.http_server import url_of
from worker.ops.progress import waiting
from worker.ops.text import printable
from worker.redis.ratings import RatingsInRedis
from worker.settings import WorkerSettings

_PAGE_TIMEOUT_S: Final = 2.0
_MOST_PAGE_BYTES: Final = 1_000_000


def run(settings: WorkerSettings, known: SimpleNamespace) -> ExitCode:
    """Ask every part, print the answers, and return the exit code of the first part that gave none."""
    parts: dict[str, Callable[[WorkerSettings], dict[str, Any]]] = {
        "group": _group,
        "redis": _redis,
        "model": _model,
        "worker": worker_page,
    }
    answers: dict[str, Any] = {}
    code = ExitCode.OK
    for name, ask in parts.items():
        try:
            with waiting(Console(stderr=True), f"asking {name}"):
                answers[name] = ask(settings)
        except WorkerError as error:
            answers[name] = {"failed": str(error)}
            code = code or error.exit_code
    if known.json:
        print(json.dumps(answers))
        return code
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, answer in answers.items():
        for field, value in answer.items():
            table.add_row(name, field.replace("_", " "), Text(printable(_words(value))))
            name = ""  # noqa: PLW2901 - only in the first line of a part
    Console().print(table)
    return code


def _words(value: object) -> str:
    """Return what a field says, for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(part)}" for name, part in value.items())
    return ", ".join(map(_words, value)) if isinstance(value, list) else str(value)


def _group(settings: WorkerSettings) -> dict[str, Any]:
    with closing(Topics(settings, SystemClock(), group_id=settings.group_id)) as topics:
        partitions = topics.require(settings.input_topics, "WORKER_INPUT_TOPICS")
        committed = topics.committed(partitions)
        spans = topics.spans(partitions, EARLIEST, LATEST)
        lag = sum(max(0, span.end - committed.get(at, span.start)) for at, span in spans.items())
        letters = topics.spans(topics.partitions(settings.dead_letter_topic), EARLIEST, LATEST)
        return {
            "group_id": settings.group_id,
            "records_waiting": lag,
            "partitions": len(partitions),
            "dead_letters_at_most": sum(span.size for span in letters.values()),
            "members": group_members(settings),
        }


def _redis(settings: WorkerSettings) -> dict[str, Any]:
    RatingsInRedis(settings).find(["starstream-status"])
    return {"answers": True}


def _model(settings: WorkerSettings) -> dict[str, Any]:
    return {"registry": settings.registry, "channels": dict(read_channels(settings.registry))}


def worker_page(settings: WorkerSettings) -> dict[str, Any]:
    """Return what the worker on this machine says of itself, or only the address and why there is no more."""
    page = url_of(settings.http_host, settings.http_port, "readyz")
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        try:
            answer = direct.open(page, timeout=_PAGE_TIMEOUT_S)
        except urllib.error.HTTPError as error:  # 503: it runs and says why it is not ready
            answer = error
        with answer:
            found = json.loads(answer.read(_MOST_PAGE_BYTES))
    except OSError as error:
        return {"page": f"{page}: none answers there ({getattr(error, 'reason', error)})"}
    except (ValueError, RecursionError, http.client.HTTPException):
        found = None
    if not isinstance(found, dict):
        return {"page": f"{page}: what answers there is no worker; name its port with --http-port"}
    return {"page": page, **{name: value for name, value in found.items() if value not in ({}, [])}}
