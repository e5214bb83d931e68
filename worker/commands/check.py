"""`check`: prints the settings in force and tries what a worker needs, without reading a record.

Owns the probes and the exit code: that of the first that failed, in the order model, Kafka, Redis.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Final

from prometheus_client import CollectorRegistry
from rich.console import Console
from rich.table import Table

from worker.clock import SystemClock
from worker.environment import PREFIX
from worker.errors import ExitCode, PermanentError, WorkerError
from worker.kafka.clients import require_client
from worker.kafka.python.topics import Topics
from worker.model.loading import load_classifier
from worker.ops.metrics import Metrics
from worker.redis.rights import KEYS, require_rights
from worker.settings import WorkerSettings


def check(settings: WorkerSettings) -> ExitCode:
    """Print the settings and what works; return OK, or the exit code of the first probe that failed."""
    console = Console()
    table = Table("variable", "value", title="settings (secrets masked)", title_justify="left")
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        table.add_row(f"{PREFIX}{name.upper()}", ",".join(value) if isinstance(value, list) else str(value))
    console.print(table)
    codes = [_try(console, name, probe, settings) for name, probe in _PROBES.items()]
    return next(filter(None, codes), ExitCode.OK)


def _try(console: Console, name: str, probe: Callable[[WorkerSettings], str], settings: WorkerSettings) -> ExitCode:
    try:
        answer = probe(settings)
    except WorkerError as error:
        console.print(f"[red]failed[/] {name:6}", end=" ")
        console.print(str(error), markup=False, highlight=False)
        return error.exit_code
    console.print(f"[green]ok[/]     {name:6} {answer}", highlight=False)
    return ExitCode.OK


def _model(settings: WorkerSettings) -> str:
    classifier = load_classifier(settings, Metrics(CollectorRegistry()), SystemClock())
    return f"{classifier.version} from {settings.registry}, golden set replayed"


def _kafka(settings: WorkerSettings) -> str:
    require_client(settings)
    wanted: dict[str, list[str | None]] = {
        "WORKER_INPUT_TOPICS": [*settings.input_topics],
        "WORKER_OUTPUT_TOPIC": [settings.output_topic],
        "WORKER_DEAD_LETTER_TOPIC": [settings.dead_letter_topic],
        "WORKER_SHADOW_TOPIC": [settings.shadow_topic],
        "WORKER_FEEDBACK_TOPIC": [settings.feedback_topic],
    }
    with closing(Topics(settings, SystemClock())) as topics:
        for variable, names in wanted.items():
            missing = [name for name in names if name is not None and not topics.partitions(name)]
            if missing:
                raise PermanentError("kafka", f"{variable}: {', '.join(missing)}: no such topic; create it")
    return f"{','.join(settings.kafka_bootstrap_servers)}, all topics are there"


def _redis(settings: WorkerSettings) -> str:
    require_rights(settings)
    return f"answers, and keys of each kind can be written, read and deleted ({', '.join(KEYS)})"


_PROBES: Final = {"model": _model, "kafka": _kafka, "redis": _redis}
