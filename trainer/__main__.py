"""The program `starstream-trainer`: `train`, `evaluate`, `collect`, `sample`, and the commands for a registry.

Owns parsing, exit codes, and the one line that an error becomes. Never does the work: each command imports the room
that does, so only `train` loads TensorFlow, and every other command works without the trainer's extra.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

try:
    import click

    from schemas.bundle import BundleError
    from schemas.command_line.options import Words
    from schemas.command_line.page import Page
    from schemas.command_line.program import Program, Sections, complain, completion_command, run
    from trainer.errors import DataError, Exit, FlagError, MissingExtraError, TrainerError
except KeyboardInterrupt:  # a person's Ctrl-C while this loads is no defect
    sys.stderr.write("starstream-trainer: interrupted\n")
    sys.exit(130)

if TYPE_CHECKING:
    from trainer.collect.settings import CollectSettings
    from trainer.settings import EvaluateSettings, SampleSettings, TrainSettings

PROGRAM: Final = "starstream-trainer"
# The modules of the trainer's extra.
EXTRA: Final = ("tensorflow", "keras", "nltk", "sklearn", "matplotlib", "jinja2", "wordcloud")


_PAGE: Final = Page(
    "Train, evaluate and publish models that rate reviews.",
    """\
  starstream-trainer starter --registry models/
  starstream-trainer sample sample.csv
  starstream-trainer train sample.csv --registry models/
  starstream-trainer list
  starstream-trainer evaluate held_out.csv
  starstream-trainer collect --bootstrap-servers kafka:9092 --out labelled.csv
  starstream-trainer train labelled.csv --warm-start stable --channel candidate
  starstream-trainer promote --message "better on French"
  starstream-trainer rollback --message "worse on German\"""",
    exit_codes="""\
  0  ok                                2  wrong usage, or the extra is missing
  3  registry or bundle error, or it is away
  5  the model was built and must not be published
  6  published, but the gate refuses to move the channel
  7  somebody else moved the channel   8  Kafka cannot be read
  9  bad data                          130  interrupted
  1  a defect of the trainer, with its traceback""",
    rest='Shell completion: eval "$(starstream-trainer completion bash)"; also zsh, fish.',
)


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
    from trainer.settings import quiet_libraries

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
    from trainer.evaluation.behaviour import behave
    from trainer.evaluation.metrics import as_json, evaluate
    from trainer.evaluation.tables import behaviour_table, classes_table, detail_tables, figures_table
    from trainer.export.runtime import open_interpreter
    from trainer.registry.open import open_registry

    registry = open_registry(settings.registry)
    bundle = registry.bundle(registry.resolve(settings.version))
    part = labelled(settings, bundle.manifest)
    model = bundle.load(open_interpreter)
    evaluation = evaluate(model, part)
    families = behave(model, bundle.manifest.least_confidence(None))
    rules, groups, tables = detail_tables(evaluation, part.groups, bundle.manifest.decision)
    details = {"rules": rules, "groups": {name: {"reviews": count, **found} for name, (count, found) in groups.items()}}
    details["behaviour"] = {family.name: {"passed": family.passed, "checks": family.checks} for family in families}
    figures = json.dumps(as_json(bundle.version, evaluation) | details, indent=2) + "\n"
    if settings.json_out == Path("-"):
        sys.stdout.write(figures)
        return Exit.OK
    screen = Screen()
    screen.result(figures_table(f"{len(part)} reviews", {bundle.version: evaluation.figures}))
    for table in (classes_table(evaluation), *tables, *([behaviour_table(families)] if families else [])):
        screen.result(table)
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
    from trainer.settings import cache_folder

    with Screen().phase("fetch"):
        counts = write_sample(settings.out, cache_folder())
    rows = ", ".join(f"{count} {app_id}" for app_id, count in counts.items())
    sys.stdout.write(f"{settings.out}: {sum(counts.values())} rated sentences ({rows}); Hutto & Gilbert 2014, MIT\n")
    return Exit.OK


def _in(settings: str, run: str | Callable[[Any], int], words: Words | None = None) -> Callable[[], click.Command]:
    """Return what builds a command of its settings, `module:class`, and of what runs it."""

    def build() -> click.Command:
        from trainer.command import trainer_command

        module, _, name = settings.partition(":")
        return trainer_command(getattr(import_module(f"trainer.{module}"), name), run, words)

    return build


_FILES: Final = Words("--data", "FILE", several=True)
_VERSION: Final = Words("--version", "VERSION", required=False)
_FLAGS: Final = "commands.registry_settings"
_DO: Final = "trainer.commands.registry"
_COMMANDS: Sections = {
    "Train": {
        "train": ("train on reviews, evaluate, publish", _in("settings:TrainSettings", _train, _FILES)),
        "evaluate": ("evaluate a published version", _in("settings:EvaluateSettings", _evaluate, _FILES)),
    },
    "Registry": {
        "list": (
            "the versions, with their channels and figures",
            _in(f"{_FLAGS}:ListSettings", f"{_DO}:list_versions"),
        ),
        "show": ("the manifest of a version", _in(f"{_FLAGS}:ShowSettings", f"{_DO}:show", _VERSION)),
        "promote": (
            "point a channel at a version",
            _in(f"{_FLAGS}:PromoteSettings", "trainer.commands.promote:promote", _VERSION),
        ),
        "rollback": ("point a channel back", _in(f"{_FLAGS}:RollbackSettings", f"{_DO}:rollback")),
        "history": ("who moved which channel, when, why", _in(f"{_FLAGS}:HistorySettings", f"{_DO}:history")),
        "verify": ("check versions as a worker would", _in(f"{_FLAGS}:VerifySettings", f"{_DO}:verify", _VERSION)),
        "publish": (
            "copy a version from another registry",
            _in(f"{_FLAGS}:PublishSettings", f"{_DO}:publish", Words("--version", "VERSION")),
        ),
        "starter": (
            "publish the model that comes with this package",
            _in(f"{_FLAGS}:StarterSettings", "trainer.commands.starter:starter"),
        ),
        "prune": ("remove old versions", _in(f"{_FLAGS}:PruneSettings", f"{_DO}:prune")),
    },
    "Data": {
        "collect": ("build a training file from Kafka", _in("collect.settings:CollectSettings", _collect)),
        "sample": ("build a labelled sample set", _in("settings:SampleSettings", _sample, Words("--out", "FILE"))),
    },
    "More": {
        "completion": ("make bash, zsh or fish complete all this", lambda: completion_command(PROGRAM)),
    },
}


def program() -> Program:
    """Return the program, whose commands are built when they are asked for."""
    return Program(PROGRAM, _PAGE, _COMMANDS)


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code; see `--help`."""
    try:
        return run(program(), argv)
    except TrainerError as error:
        lines = str(error).split("\n") if isinstance(error, FlagError) else [str(error)]
        for line in lines:
            complain(PROGRAM, line)
        return error.exit_code
    except BundleError as error:
        complain(PROGRAM, str(error))
        return Exit.REGISTRY
    except KeyboardInterrupt:
        complain(PROGRAM, "interrupted")
        return Exit.INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
