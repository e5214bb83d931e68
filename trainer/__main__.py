"""The program `starstream-trainer`: `train`, `evaluate`, `collect`, `sample`, and the commands for a registry.

Owns parsing, exit codes, and the one line that an error becomes. Never does the work: each command imports the room
that does, so only `train` loads TensorFlow, and every other command works without the trainer's extra.
"""

from __future__ import annotations

import argparse
import builtins
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final, get_origin

from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    CliSubCommand,
    SettingsConfigDict,
    SettingsError,
    get_subcommand,
)

from schemas import __version__
from schemas.bundle import BundleError
from trainer.collect.settings import CollectSettings
from trainer.commands import registry as registry_commands
from trainer.commands import registry_settings as flags
from trainer.errors import DataError, Exit, MissingExtraError, TrainerError
from trainer.registry.open import open_registry
from trainer.settings import (
    EvaluateSettings,
    SampleSettings,
    TrainSettings,
    cache_folder,
    quiet_libraries,
)

PROGRAM: Final = "starstream-trainer"
EXTRA: Final = ("tensorflow", "keras", "nltk", "sklearn", "matplotlib", "jinja2")  # the modules of the trainer's extra


class Commands(BaseSettings):
    """Trains, evaluates and publishes models that rate reviews.

    Examples:
      starstream-trainer sample --out sample.csv
      starstream-trainer train --data sample.csv --registry models/
      starstream-trainer list --registry models/
      starstream-trainer evaluate --registry models/ --data held_out.csv
      starstream-trainer collect --bootstrap-servers kafka:9092 --out labelled.csv
      starstream-trainer train --data labelled.csv --warm-start stable --channel candidate
      starstream-trainer promote --message "better on French"      # candidate becomes stable
      starstream-trainer rollback --message "worse on German"

    Exit codes: 0 ok; 2 wrong usage, or the trainer's extra is not installed; 3 the registry is away, or registry or
    bundle error; 5 the model was built and must not be published; 6 published, but the gate refuses to move the
    channel; 7 somebody else moved the channel meanwhile; 8 Kafka cannot be read; 9 bad data; 130 interrupted. 1 is a
    defect of the trainer, with its traceback.
    """

    model_config = SettingsConfigDict(
        cli_prog_name=PROGRAM,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_enforce_required=True,
        extra="forbid",
    )

    train: Annotated[CliSubCommand[TrainSettings], Field(description="Train on reviews, evaluate, publish.")]
    evaluate: Annotated[CliSubCommand[EvaluateSettings], Field(description="Evaluate a published version.")]
    list: Annotated[CliSubCommand[flags.ListSettings], Field(description="List the versions of a registry.")]
    show: Annotated[CliSubCommand[flags.ShowSettings], Field(description="Show the manifest of a version.")]
    publish: Annotated[CliSubCommand[flags.PublishSettings], Field(description="Copy a version from another registry.")]
    promote: Annotated[CliSubCommand[flags.PromoteSettings], Field(description="Point a channel at a version.")]
    rollback: Annotated[CliSubCommand[flags.RollbackSettings], Field(description="Point a channel back.")]
    history: Annotated[
        CliSubCommand[flags.HistorySettings], Field(description="Show who moved which channel, when, why.")
    ]
    prune: Annotated[CliSubCommand[flags.PruneSettings], Field(description="Remove old versions.")]
    verify: Annotated[CliSubCommand[flags.VerifySettings], Field(description="Check versions as a worker would.")]
    collect: Annotated[CliSubCommand[CollectSettings], Field(description="Build a training file from Kafka.")]
    sample: Annotated[CliSubCommand[SampleSettings], Field(description="Build a labelled sample set.")]

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *sources: Any, **named: Any
    ) -> tuple[Any, ...]:
        """Read flags only: an environment variable named TRAIN must not become a setting."""
        del settings_cls, sources
        return (named["init_settings"],)


class _Help(argparse.RawDescriptionHelpFormatter):
    """Prints the docstrings as they are written, without their indentation."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return super()._fill_text(inspect.cleandoc(text), width, indent)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if isinstance(action.metavar, str):  # pydantic-settings shows the type; list[Path] is a repeated PATH
            name = action.metavar.removeprefix("list[").removesuffix("]")
            action.metavar = name if name.startswith("{") else name.upper()
        return super()._format_action_invocation(action)

    def _get_help_string(self, action: argparse.Action) -> str:
        return (action.help or "").removesuffix("(default: null)").strip()


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code; see `--help`."""
    words = sys.argv[1:] if argv is None else argv
    try:
        command = _parse(words)
    except SystemExit as stop:  # argparse has printed the help or the version (0), or what is wrong (2)
        return int(stop.code or 0)
    except (ValidationError, SettingsError) as error:
        for line in _lines(error, words):
            _complain(line)
        return Exit.USAGE
    try:
        return _COMMANDS[type(command)](command)
    except TrainerError as error:
        _complain(str(error))
        return error.exit_code
    except BundleError as error:
        _complain(str(error))
        return Exit.REGISTRY
    except KeyboardInterrupt:
        _complain("interrupted")
        return Exit.INTERRUPTED


def _parse(argv: list[str]) -> BaseModel:
    source: CliSettingsSource[Any] = CliSettingsSource(Commands, formatter_class=_Help)
    source.root_parser.add_argument(
        "--version", action="version", version=f"{PROGRAM} {__version__}", help="print the version and exit"
    )
    settings = Commands(_cli_settings_source=source(args=argv or ["--help"]))
    command = get_subcommand(settings, is_required=True)
    if not isinstance(command, BaseModel):
        raise TypeError(f"no command in {argv}")
    return command


def _lines(error: ValidationError | SettingsError, words: Sequence[str]) -> Iterable[str]:
    """Return one line for each wrong flag, and one for flags that do not agree."""
    if isinstance(error, SettingsError):
        # pydantic-settings joins the values of a repeated flag as JSON, and does not name the one that spoils it.
        flags = sorted({word.partition("=")[0] for word in words} & _REPEATED)
        return [f"{', '.join(flags)}: takes plain values, without brackets, braces or quotes"]
    lines: dict[str, str] = {}
    for fault in error.errors(include_url=False, include_input=False):
        names = [str(part).replace("_", "-") for part in fault["loc"][1:] if isinstance(part, str)]
        message = fault["msg"].removeprefix("Value error, ")
        lines.setdefault("-".join(names), f"--{'-'.join(names)}: {message}" if names else message)
    return lines.values()


def _complain(line: str) -> None:
    shown = " ".join(line.split()).encode("utf-8", "backslashreplace").decode()  # a flag can hold any bytes
    sys.stderr.write(f"{PROGRAM}: {shown}\n")


def _require_extra() -> None:
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"train needs {', '.join(missing)}, of the extra `trainer`; in a clone: pip install '.[trainer]'"
        )


def _train(settings: TrainSettings) -> int:
    _require_extra()
    from trainer.begin import begin
    from trainer.console import Screen

    screen = Screen()
    ready = begin(settings, screen)
    with screen.phase("tensorflow"):
        quiet_libraries()
        from trainer.train import train
    from trainer.publish.result import finish

    finish(train(ready, screen), screen)
    return Exit.OK


def _evaluate(settings: EvaluateSettings) -> int:
    from trainer.console import Screen
    from trainer.data.held_out import labelled
    from trainer.evaluation.metrics import as_json, evaluate
    from trainer.evaluation.tables import classes_table, figures_table
    from trainer.export.runtime import open_interpreter

    registry = open_registry(settings.registry)
    bundle = registry.bundle(registry.resolve(settings.version))
    part = labelled(settings, bundle.manifest)
    evaluation = evaluate(bundle.load(open_interpreter), part)
    figures = json.dumps(as_json(bundle.version, evaluation), indent=2) + "\n"
    if settings.json_out == Path("-"):
        sys.stdout.write(figures)
        return Exit.OK
    screen = Screen()
    screen.result(figures_table(f"{len(part)} reviews", {bundle.version: evaluation.figures}))
    screen.result(classes_table(evaluation))
    if settings.json_out is not None:
        try:
            settings.json_out.write_text(figures, encoding="utf-8")
        except OSError as error:
            raise DataError(f"{settings.json_out}: {error.strerror or error}; choose another --json") from error
    return Exit.OK


def _collect(settings: CollectSettings) -> int:
    from trainer.collect.command import collect, show
    from trainer.console import Screen

    screen = Screen()
    show(collect(settings, screen), settings, screen)
    screen.result(f"{settings.out}: train --data {settings.out} reads it")
    return Exit.OK


def _sample(settings: SampleSettings) -> int:
    from trainer.console import Screen
    from trainer.data.sample import write_sample

    with Screen().phase("fetch"):
        counts = write_sample(settings.out, cache_folder())
    rows = ", ".join(f"{count} {app_id}" for app_id, count in counts.items())
    sys.stdout.write(f"{settings.out}: {sum(counts.values())} rated sentences ({rows}); Hutto & Gilbert 2014, MIT\n")
    return Exit.OK


_COMMANDS: dict[type[BaseModel], Callable[[Any], int]] = {
    TrainSettings: _train,
    EvaluateSettings: _evaluate,
    CollectSettings: _collect,
    SampleSettings: _sample,
    **registry_commands.COMMANDS,
}
_REPEATED: Final = frozenset(
    f"--{name.replace('_', '-')}"
    for settings in _COMMANDS
    for name, field in settings.model_fields.items()
    if get_origin(field.annotation) is builtins.list
)


if __name__ == "__main__":
    sys.exit(main())
