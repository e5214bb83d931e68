"""`run --help`: every setting in groups, with its variable, what it takes and its default.

Owns the groups and the words for types. The settings' own declarations are the text, so none can be missing; those that
only the supervisor sets are left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from worker.settings import WorkerSettings

# The first setting of each group, in the order of their declaration.
GROUPS: Final[Mapping[str, str]] = {
    "rest_host": "HTTP front (serve)",
    "schema_registry_url": "schema registry",
    "input_format": "input",
    "kafka_client": "Kafka: connection",
    "input_topics": "Kafka: topics and group",
    "delivery": "Kafka: delivery and time-outs",
    "redis_url": "Redis",
    "max_attempts": "records that cannot be rated",
    "registry": "model",
    "shadow_channel": "candidate, canary and feedback",
    "drift_window_reviews": "drift and confidence",
    "batch_reviews": "batching",
    "processes": "process",
}
_UNITS: Final = {"_s": "SECONDS", "_bytes": "BYTES"}
_WORDS: Final = {int: "N", float: "X", Path: "FILE", SecretStr: "SECRET"}
HIDDEN: Final = frozenset({"slot", "status_file"})  # the supervisor sets them
_DESCRIPTION: Final = """\
examples:
  starstream-worker {command} --registry models/ --kafka-bootstrap-servers kafka:9092
  WORKER_REDIS_URL_FILE=/run/secrets/redis starstream-worker {command} --processes 2

Each setting is also a variable: --batch-reviews is WORKER_BATCH_REVIEWS, in the environment or in .env; a flag comes
first. A secret may be in a file that WORKER_<NAME>_FILE names. `starstream-worker check` shows what is in force and
tries it."""


def settings_help(command: str) -> str:
    """Return the help of a command whose flags are settings."""
    parser = argparse.ArgumentParser(
        prog=f"starstream-worker {command}",
        usage=f"starstream-worker {command} [--SETTING VALUE ...]",
        description=_DESCRIPTION.format(command=command),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    group: Any = parser
    if command == "check":
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument("--all", action="store_true", help="also show the settings that have their defaults")
    for name, field in WorkerSettings.model_fields.items():
        if name in GROUPS:
            group = parser.add_argument_group(GROUPS[name])
        if name not in HIDDEN and (command == "serve" or not name.startswith("rest_")):
            flag = f"--{name.replace('_', '-')}"
            words = [flag, f"--no-{flag[2:]}"] if field.annotation is bool else [flag]
            action: dict[str, Any] = (
                {"action": "store_true"} if field.annotation is bool else {"metavar": _takes(name, field)}
            )
            group.add_argument(*words, help=f"{field.description}{_default(field)}".replace("%", "%%"), **action)
    return parser.format_help()


def _takes(name: str, field: FieldInfo) -> str:
    """Return what a setting takes, in a word."""
    kind = next(kind for kind in _kinds(field.annotation) if kind is not NoneType)
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    if get_origin(kind) is list:
        return "A,B,..."
    unit = next((unit for suffix, unit in _UNITS.items() if name.endswith(suffix)), None)
    return unit or _WORDS.get(kind, "TEXT")


def _kinds(annotation: Any) -> list[Any]:
    """Return the members of a union, without what annotates them."""
    if get_origin(annotation) is Annotated:
        return _kinds(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        return [kind for member in get_args(annotation) for kind in _kinds(member)]
    return [annotation]


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    if default is None or default is PydanticUndefined or default in ("", []):
        return ""
    shown = default.get_secret_value() if isinstance(default, SecretStr) else default
    return f" [{','.join(shown) if isinstance(shown, list) else shown}]"
