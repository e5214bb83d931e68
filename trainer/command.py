"""What every command of the trainer shares: its help is its settings' docstring, and each field is a flag.

Owns the headings of the flags, and the way from a parsed command line to settings. Loads nothing that does the work.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from schemas.command_line.forms import fault_lines, is_list
from schemas.command_line.options import Words, settings_of
from schemas.command_line.page import Page
from schemas.command_line.program import Command
from schemas.command_line.registry import RegistryNames
from trainer.errors import FlagError

# The first setting of each group, in the order of their declaration; those of the small commands need none.
_GROUPS: Final[Mapping[str, str]] = {
    "preset": "Files",
    "test_data": "Data and split",
    "normalise": "Text",
    "cell": "Network",
    "epochs": "Training",
    "against": "Gate",
    "decide": "Output",
    "registry": "Registry",
}


def trainer_command(model: type[BaseModel], run: str | Callable[[Any], int], words: Words | None = None) -> Command:
    """Return a command.

    Args:
        model: its settings; the docstring is the help.
        run: does the work and returns the exit code: a function, or `module:function`, which is imported when it runs.
        words: what is typed without a flag.
    """
    registry = RegistryNames()
    names = {
        "channel": registry.channels, "against": registry.channels, "warm_start": registry.both,
        "version": registry.both,
    }  # fmt: skip
    groups = _GROUPS if len(model.model_fields) > 12 else {}
    settings = partial(settings_of, model, groups, completes=names)
    name = model.__name__.removesuffix("Settings").lower()
    return Command(name, _page(model), partial(_start, model, run), words=words, settings=settings)


def settings_from(model: type[BaseModel], given: Mapping[str, Any]) -> BaseModel:
    """Return a command's settings.

    Raises:
        FlagError: one line for each wrong flag, with what it takes.
    """
    values = {_key(model, name): _split(model, name, value) for name, value in given.items()}
    try:
        return model(**values)
    except ValidationError as error:
        raise FlagError("\n".join(fault_lines(error, model, _flag, given))) from None


def _start(
    model: type[BaseModel], run: str | Callable[[Any], int], _own: Mapping[str, Any], given: Mapping[str, Any]
) -> int:
    settings = settings_from(model, given)
    if isinstance(run, str):
        module, _, function = run.partition(":")
        run = getattr(import_module(module), function)
        assert callable(run)  # noqa: S101 - narrows the type
    return int(run(settings))


def _page(model: type[BaseModel]) -> Page:
    about, _, rest = inspect.cleandoc(model.__doc__ or "").partition("\n\nExamples:\n")
    examples, _, notes = rest.partition("\n\n")
    return Page(about, examples, notes)


def _key(model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    choices = getattr(field.validation_alias, "choices", None)
    return str(choices[0]) if choices else field.alias or name


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _split(model: type[BaseModel], name: str, value: Any) -> Any:
    """Return a repeated flag's values, each of which may be several with commas; a file's name may have a comma."""
    if not is_list(model.model_fields[name]):
        return value
    return [
        part
        for word in value
        for part in ([word] if os.path.exists(word) else word.split(","))  # noqa: PTH110 - takes any bytes
        if part
    ]
