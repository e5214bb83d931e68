"""The look of a command's help: what it does, examples, settings with their variables, exit codes.

Owns the order and the indentation. `program` says which flags there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import TextWrapper

import click


@dataclass(frozen=True, slots=True)
class Page:
    """What the help of a command says besides its flags. Examples stand first.

    Attributes:
        about: what it does; the first line is also in the list of commands.
        examples: command lines, each with what it does or alone.
        notes: what one has to know before relying on it.
        exit_codes: those it can end with, and when.
        rest: the last line.
    """

    about: str
    examples: str
    notes: str = ""
    exit_codes: str = ""
    rest: str = ""


def write_page(formatter: click.HelpFormatter, page: Page) -> None:
    """Write what the help says before the flags."""
    formatter.write("\n")
    formatter.write_text(page.about)
    formatter.write(f"\nExamples:\n{page.examples.rstrip()}\n")
    if page.notes:
        formatter.write("\n")
        formatter.write_text(page.notes)


def write_setting(formatter: click.HelpFormatter, flag: str, text: str, note: str) -> None:
    """Write a setting: its flag and its variable with the default, below them what it is."""
    pad = " " * formatter.current_indent
    header = f"{pad}{flag}  [{note}]"
    lines = [header] if len(header) <= formatter.width else [f"{pad}{flag}", f"{pad}      [{note}]"]
    formatter.write("\n".join(lines) + "\n" if note else f"{pad}{flag}\n")
    indent = f"{pad}      "
    wrapper = TextWrapper(formatter.width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    formatter.write(wrapper.fill(text) + "\n")


def write_end(formatter: click.HelpFormatter, page: Page) -> None:
    """Write what the help says after the flags."""
    if page.exit_codes:
        formatter.write(f"\nExit codes:\n{page.exit_codes.rstrip()}\n")
    if page.rest:
        formatter.write("\n")
        formatter.write_text(page.rest)
