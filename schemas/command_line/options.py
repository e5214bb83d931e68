"""Flags: one for each setting of a model, in groups, and the word without a flag that stands for one of them.

Owns how click sees a setting: its flag, its help, what completes it. Never checks a value: the model does, so that a
flag, a variable and a line of `.env` are refused in the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_args

import click
from click.shell_completion import CompletionItem
from typing_extensions import override

from schemas.command_line.spelling import did_you_mean

if TYPE_CHECKING:
    from pydantic import BaseModel

Completer = Callable[[click.Context, str], list[str]]
OWN: Final = "Options"
_MOST_METAVAR: Final = 34


class Option(click.Option):
    """A flag in a group of the help.

    Args:
        words: its names, and its destination, as click takes them.
        completes: what its value may be, for a shell that asks.
        group: for a setting, the heading it stands under.
        note: for a setting, its variable and its default.
        only_on: for a switch that is off anyway, whether the help leaves out how to switch it off.
    """

    def __init__(
        self,
        *words: str,
        completes: Completer | None = None,
        group: str = "",
        note: str = "",
        only_on: bool = False,
        **how: Any,
    ) -> None:
        if completes is not None:
            how["shell_complete"] = lambda ctx, _param, typed: _items(completes(ctx, typed), typed)
        super().__init__(words, **how)
        self.setting = bool(group)
        self.group = group
        self.note = note
        self.only_on = only_on


class Words(NamedTuple):
    """Words without a flag, which also have one: `predict reviews.csv` is `predict --input reviews.csv`."""

    flag: str
    metavar: str
    several: bool = False
    required: bool = True

    @property
    def name(self) -> str:
        """The flag's destination."""
        return self.flag.removeprefix("--").replace("-", "_")


def choice(*words: str) -> Completer:
    """Complete one of these words."""
    return lambda _ctx, _typed: [*words]


def settings_of(
    model: type[BaseModel],
    groups: Mapping[str, str],
    *,
    shown: Callable[[str, str], bool] = lambda _name, _group: True,
    prefix: str | None = None,
    taken: Collection[str] = (),
    completes: Mapping[str, Completer] | None = None,
    aliases: Mapping[str, str] | None = None,
) -> Iterator[Option]:
    """Yield a flag for each setting, in the order of their declaration.

    Args:
        model: whose fields they are.
        groups: the heading that begins at a setting.
        shown: whether the help shows a setting of a group; a hidden one is taken all the same.
        prefix: what the settings' variables begin with; None: they have none.
        taken: settings that the command has a flag of its own for.
        completes: what completes the value of a setting.
        aliases: a second flag of a setting.
    """
    # Loads pydantic, which the list of commands does not need.
    from schemas.command_line.forms import choices_of, default_of, is_list, kind_of, metavar_of

    group = OWN
    for name, field in model.model_fields.items():
        group = groups.get(name, group)
        if name in taken:
            continue
        default, words = default_of(name, field), choices_of(field)
        metavar = metavar_of(name, field)
        listed = f" ({', '.join(words)})" if len(metavar) > _MOST_METAVAR else ""  # too long for the flag's line
        note = f"{prefix}{name.upper()}={default}".removesuffix("=") if prefix else default and f"default: {default}"
        how: dict[str, Any] = {
            "help": f"{field.description}{listed}",
            "hidden": not shown(name, group),
            "group": group,
            "note": note,
        }
        flags = _flags(name, field.alias, field.validation_alias)
        flags += [(aliases or {})[name]] if name in (aliases or {}) else []
        if kind_of(field) is bool:
            flags = [f"{flag}/--no-{flag[2:]}" for flag in flags]
            if prefix is None and default == "false":
                how |= {"note": "", "only_on": True}
            yield Option(*flags, name, default=None, **how)
            continue
        kind = kind_of(field)
        of_files = kind is Path or (is_list(field) and get_args(kind)[0] is Path)
        yield Option(
            *flags,
            name,
            type=FILE if of_files else str,
            metavar="WORD" if listed else metavar,
            multiple=is_list(field),
            default=None,
            completes=(completes or {}).get(name) or (choice(*words) if words else None),
            **how,
        )


def given(option: Option, value: Any) -> Any:
    """Return the value that a flag gave to its setting, as the model takes it; None: it was not given."""
    return (list(value) or None) if option.multiple else value


def _flags(name: str, alias: str | None, aliases: Any) -> list[str]:
    names = [str(choice) for choice in getattr(aliases, "choices", ())] or [alias or name]
    return [f"--{word.replace('_', '-')}" for word in names]


def _items(words: list[str], typed: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in words if word.startswith(typed)]


class Takes(click.ParamType[Any]):
    """A value of a command's own flag, refused in our words.

    Args:
        expected: what it takes.
        reads: makes the value of the text; raises ValueError.
    """

    name = "text"

    def __init__(self, expected: str, reads: Callable[[str], Any]) -> None:
        self._expected = expected
        self._reads = reads

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._reads(value) if isinstance(value, str) else value
        except ValueError:
            self.fail(f"{value}: takes {self._expected}", param, ctx)


class OneOf(click.ParamType[str]):
    """One of these words, in any letter case."""

    name = "word"

    def __init__(self, *words: str) -> None:
        self._words = words

    @override
    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        found = {word.casefold(): word for word in self._words}.get(value.casefold())
        if found is None:
            takes = f"{', '.join(self._words[:-1])} or {self._words[-1]}"
            self.fail(f"{value}: takes {takes}{did_you_mean(value, self._words)}", param, ctx)
        return found

    @override
    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return _items([*self._words], incomplete)


FILE: Final = click.Path()  # completed as a file, and not looked at: the command says what is wrong with it


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ValueError(text)
    return int(text)


COUNT: Final = Takes("a whole number of 0 or more", _count)
