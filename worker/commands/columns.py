"""Compares a table's columns with the fields that `predict` and `produce` read.

Owns what is refused (a table without a text) and what is only said (a named column that is not there, because the
setting may be meant for the stream). Next: `schemas.input.files` reads the rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from schemas.input.fields import FIELD_NAMES, FieldFinder
from schemas.input.files import require_field
from schemas.input.text_files import FileError
from worker.settings import WorkerSettings


def check_columns(
    source: str, columns: Sequence[str], finder: FieldFinder, settings: WorkerSettings, console: Console
) -> None:
    """Refuse a table without a text; name each other field whose setting leads to no column.

    Raises:
        FileError: no column can be the text.
    """
    try:
        require_field(columns, finder, "text", "--text-field")
    except FileError as error:
        raise FileError(f"{source}: {error}") from error
    for name in FIELD_NAMES:
        named = getattr(settings, f"{name}_field")
        if named is not None and not finder.finds(name, columns):
            line = f"{source}: --{name}-field {named}: no such column; the rows are read without it"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
