"""`check`: shows the settings in force and tries each thing a worker needs, without reading a record.

Owns the questions and their exit code: the first that failed, in the order model, Kafka, Redis.
"""

from __future__ import annotations

from collections.abc import Callable

from kafka import KafkaAdminClient
from prometheus_client import CollectorRegistry
from rich.console import Console
from rich.table import Table

from worker.clock import SystemClock
from worker.errors import ExitCode, PermanentError, WorkerError, exit_code_of
from worker.kafka.clients import require_client
from worker.kafka.connection import connecting
from worker.kafka.python.client import client_config, translated
from worker.model.loading import load_classifier
from worker.ops.metrics import Metrics
from worker.redis.store import RedisStore
from worker.settings import PREFIX, WorkerSettings


def check(settings: WorkerSettings) -> ExitCode:
    """Print the settings and what works; return OK, or the code of the first thing that does not."""
    console = Console()
    table = Table("variable", "value", title="settings (secrets masked)", title_justify="left")
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        table.add_row(f"{PREFIX}{name.upper()}", ",".join(value) if isinstance(value, list) else str(value))
    console.print(table)
    worst = ExitCode.OK
    for name, question in (("model", _model), ("kafka", _kafka), ("redis", _redis)):
        code = _ask(console, name, question, settings)
        worst = worst or code
    return worst


def _ask(console: Console, name: str, question: Callable[[WorkerSettings], str], settings: WorkerSettings) -> ExitCode:
    try:
        answer = question(settings)
    except WorkerError as error:
        console.print(f"[red]failed[/] {name:6}", end=" ")
        console.print(str(error), markup=False, highlight=False)
        return exit_code_of(error)
    console.print(f"[green]ok[/]     {name:6} {answer}", highlight=False)
    return ExitCode.OK


def _model(settings: WorkerSettings) -> str:
    classifier = load_classifier(settings, Metrics(CollectorRegistry()), SystemClock())
    return f"{classifier.version} from {settings.registry}, golden set replayed"


def _kafka(settings: WorkerSettings) -> str:
    require_client(settings)
    with translated(connecting(settings)):
        admin = KafkaAdminClient(**client_config(settings))
        try:
            known = set(admin.list_topics())
        finally:
            admin.close()
    wanted = {
        "WORKER_INPUT_TOPICS": settings.input_topics,
        "WORKER_OUTPUT_TOPIC": [settings.output_topic],
        "WORKER_DEAD_LETTER_TOPIC": [settings.dead_letter_topic],
        "WORKER_SHADOW_TOPIC": [settings.shadow_topic] if settings.shadow_topic else [],
        "WORKER_FEEDBACK_TOPIC": [settings.feedback_topic] if settings.feedback_topic else [],
    }
    for variable, topics in wanted.items():
        missing = [topic for topic in topics if topic not in known]
        if missing:
            raise PermanentError("kafka", f"{variable}: {', '.join(missing)}: no such topic; create it")
    return f"{','.join(settings.kafka_bootstrap_servers)}, {len(known)} topics, ours among them"


def _redis(settings: WorkerSettings) -> str:
    store = RedisStore(settings, metrics=Metrics(CollectorRegistry()), clock=SystemClock(), topic_id=lambda _topic: "")
    store.ping()
    store.close()
    return "answers"
