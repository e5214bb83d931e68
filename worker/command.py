"""What every command of the worker shares: each setting is a flag, and a command starts with the settings in force.

Owns the groups of the settings in the help, and the way from a parsed command line to `run(settings, known)` of the
module that does the work; `worker/README.md` says how to add a command.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib import import_module
from types import SimpleNamespace
from typing import Any, Final

import worker.ops  # noqa: F401 - before any command imports prometheus-client: it chooses where metrics are kept
from schemas.command_line.options import Option, Words, settings_of
from schemas.command_line.page import Page
from schemas.command_line.program import Command, complain
from schemas.command_line.registry import RegistryNames
from worker.errors import ExitCode, WorkerError

PROGRAM: Final = "starstream-worker"
REST: Final = "HTTP front (serve)"
INPUT: Final = "Input"
MODEL: Final = "Model"
REDIS: Final = "Redis"
KAFKA: Final = "Kafka: connection"
TOPICS: Final = "Kafka: topics and group"
PROCESS: Final = "Process"
# The first setting of each group, in the order of their declaration.
GROUPS: Final[Mapping[str, str]] = {
    "rest_host": REST,
    "schema_registry_url": "Schema registry",
    "input_format": INPUT,
    "kafka_client": KAFKA,
    "input_topics": TOPICS,
    "delivery": "Kafka: delivery and time-outs",
    "redis_url": REDIS,
    "max_attempts": "Records that cannot be rated",
    "registry": MODEL,
    "shadow_channel": "Candidate, canary and feedback",
    "drift_window_reviews": "Drift and confidence",
    "batch_reviews": "Batching",
    "processes": PROCESS,
}
BROKERS: Final = "kafka_bootstrap_servers"
HIDDEN: Final = frozenset({"slot", "status_file"})  # the supervisor sets them
SETTINGS: Final = f"""\
Each setting is a flag, a variable (--batch-reviews is WORKER_BATCH_REVIEWS) and a
line of .env; a flag comes first, then the variable. A secret may be in a file
that WORKER_<NAME>_FILE names. Durations: 500ms, 30s, 5m, 2h, 30d; sizes: 10MB.
`{PROGRAM} check` shows what is in force, and tries it."""
OTHERS: Final = f"Every other setting is a flag here, too: `{PROGRAM} run --help` lists them."


def worker_command(
    page: Page,
    module: str,
    function: str = "run",
    *,
    groups: Sequence[str] = (),
    own: Sequence[Option] = (),
    words: Words | None = None,
    name: str | None = None,
) -> Command:
    """Return a command whose work is a function of a module, such as `run(settings, known)`.

    Args:
        page: what its help says.
        module: where the function is; it is imported when the command starts.
        function: its name; it returns the exit code.
        groups: the settings that its help shows, and groups of them; the others are taken, too.
        own: its own flags; `known` has them by name.
        words: what is typed without a flag.
        name: what is typed; None: as the module is called.
    """
    taken = {option.name for option in own}
    return Command(
        name or module.rpartition(".")[2],
        page,
        partial(_start, module, function),
        own,
        words,
        lambda: _settings({*groups}, {name for name in taken if name is not None}),
    )


def _settings(groups: set[str], taken: set[str]) -> Iterable[Option]:
    # Loads pydantic, which the list of commands does not need.
    from worker.environment import PREFIX
    from worker.settings import WorkerSettings

    names = registry_names()
    return settings_of(
        WorkerSettings,
        GROUPS,
        shown=lambda name, group: name not in HIDDEN and bool(groups & {name, group}),
        prefix=PREFIX,
        taken=taken,
        completes={"channel": names.channels, "shadow_channel": names.channels, "model_version": names.versions},
        aliases={"text_field": "--text-column"},
    )


def _start(module: str, function: str, own: Mapping[str, Any], given: Mapping[str, Any]) -> int:
    from worker.settings import read_settings

    settings = read_settings(given)
    if settings.status_file is None:  # a supervised process would repeat its supervisor's
        _warn(module, settings)
    run: Callable[[Any, SimpleNamespace], ExitCode] = getattr(import_module(module), function)
    try:
        code = int(run(settings, SimpleNamespace(**own, given=given)))
        if sys.stdout is not None:  # closed: `>&-`
            sys.stdout.flush()
    except WorkerError as error:
        complain(PROGRAM, str(error))
        return int(error.exit_code)
    except BrokenPipeError:  # `watch | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.OK)
    return code


def _warn(module: str, settings: Any) -> None:
    """Report what was set in vain: in the log of a service, elsewhere as plain lines."""
    from worker.settings import warnings_about

    lines = warnings_about(settings)
    if module in {"worker.run.command", "worker.rest.command"} and lines:
        from worker.ops.logs import configure_logs

        log = configure_logs(settings.log_level, settings.log_format)
        for line in lines:
            log(logging.WARNING, "setting_ignored", reason=line)
        return
    for line in lines:
        complain(PROGRAM, f"warning: {line}")


def registry_names() -> RegistryNames:
    """Return what completes the names of the registry in force."""
    from worker.environment import PREFIX, environment

    return RegistryNames(lambda: environment().get(f"{PREFIX}REGISTRY"))


def json_flag(what: str = "print one JSON object") -> Option:
    """Return `--json`, which every command that shows something has."""
    return Option("--json", is_flag=True, help=what)


def words_of(given: Mapping[str, Any]) -> list[str]:
    """Return the flags that gave these settings, for a process that is to have the same."""
    words = []
    for name, value in given.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{'' if value else 'no-'}{flag}")
        else:
            words.append(f"--{flag}={','.join(value) if isinstance(value, list) else value}")
    return words
