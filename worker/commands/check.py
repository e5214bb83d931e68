"""`check`: prints which settings are given and tries what a worker needs, without reading a record.

Owns the probes and the exit code: that of the first that failed, in the order model, Kafka, Redis.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Final
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from worker.clock import SystemClock
from worker.environment import PREFIX, origin_of
from worker.errors import ExitCode, WorkerError
from worker.kafka.clients import require_client
from worker.kafka.python.rights import require_kafka_rights
from worker.model.loading import load_classifier, starter_remark
from worker.ops.metrics import Metrics
from worker.ops.progress import waiting
from worker.redis.rights import KEYS, require_rights
from worker.settings import WorkerSettings


def run(settings: WorkerSettings, known: SimpleNamespace) -> ExitCode:
    """Print which settings are given and what works; return OK, or the code of the first probe that failed."""
    changed = [name for name in type(settings).model_fields if known.all or name in settings.model_fields_set]
    shown = {
        f"{PREFIX}{name.upper()}": (_shown(getattr(settings, name)), _origin(name, settings, known.given))
        for name in changed
    }
    if not known.json:
        table = Table("variable", "value", "from", box=None, pad_edge=False, title_justify="left")
        for variable, (value, origin) in shown.items():
            table.add_row(variable, Text(value), Text(origin))
        rest = "" if known.all else "; --all shows the others, too"
        count = "1 setting is" if len(shown) == 1 else f"{len(shown)} settings are"
        title = f"{count} given{rest}" if not known.all else "all settings"
        Console(soft_wrap=not sys.stdout.isatty()).print(title, table if shown else "", sep="\n", highlight=False)
    probes = _PROBES if settings.schema_registry_url is None else {**_PROBES, "schemas": _schema_registry}
    results = [_try(name, probe, settings, as_json=known.json) for name, probe in probes.items()]
    if known.json:
        values = {variable: {"value": value, "from": origin} for variable, (value, origin) in shown.items()}
        print(json.dumps({"settings": values, "checks": [result.to_fields() for result in results]}))
    return next((result.code for result in results if result.code), ExitCode.OK)


@dataclass(frozen=True, slots=True)
class _Result:
    """What a probe found, and how long it took."""

    name: str
    code: ExitCode
    answer: str
    seconds: float

    def to_fields(self) -> dict[str, object]:
        fields = {"check": self.name, "ok": not self.code, "exit_code": int(self.code), "answer": self.answer}
        return {**fields, "seconds": round(self.seconds, 3)}


def _try(name: str, probe: Callable[[WorkerSettings], str], settings: WorkerSettings, *, as_json: bool) -> _Result:
    clock = SystemClock()
    started_at = clock.monotonic()
    with waiting(Console(stderr=True), f"trying {name}"):
        try:
            code, answer = ExitCode.OK, probe(settings)
        except WorkerError as error:
            code, answer = error.exit_code, str(error)
    result = _Result(name, code, answer, clock.monotonic() - started_at)
    if not as_json:
        word = "[red]failed[/]" if code else "[green]ok[/]    "
        Console(soft_wrap=True, highlight=False).print(f"{word} {name:6} {result.seconds:5.2f} s ", escape(answer))
    return result


def _shown(value: object) -> str:
    """Return a value without its secrets; the host in a URL is none."""
    if isinstance(value, SecretStr):
        parts = urlsplit(value.get_secret_value())
        user, at, host = parts.netloc.rpartition("@")
        return (
            parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}" if at else host).geturl()
            if parts.scheme
            else "***"
        )
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _origin(name: str, settings: WorkerSettings, given: Mapping[str, object]) -> str:
    if name not in settings.model_fields_set:
        return "default"
    return "flag" if name in given else origin_of(name)


def _model(settings: WorkerSettings) -> str:
    classifier = load_classifier(settings, Metrics(CollectorRegistry()), SystemClock())
    remark = starter_remark(settings, classifier.version)
    return f"{classifier.version} from {settings.registry}, golden set replayed{f'; {remark}' if remark else ''}"


def _kafka(settings: WorkerSettings) -> str:
    require_client(settings)
    require_kafka_rights(settings)
    return f"{','.join(settings.kafka_bootstrap_servers)}, all topics are there, and every right of `run` is given"


def _redis(settings: WorkerSettings) -> str:
    require_rights(settings)
    return f"answers, and keys of each kind can be written, read and deleted ({', '.join(KEYS)})"


def _schema_registry(settings: WorkerSettings) -> str:
    from worker.kafka.registry.client import SchemaRegistry  # loads its client

    SchemaRegistry(settings).ping()
    return f"{settings.schema_registry_address} answers"


_PROBES: Final = {"model": _model, "kafka": _kafka, "redis": _redis}
