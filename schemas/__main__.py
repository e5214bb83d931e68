"""Exports the contracts as JSON Schema: `python -m schemas export` writes `schemas/json/`, `--check` only compares.

Owns the list of what is exported. Producers and readers in other languages build on these files, so a changed file is a
changed contract: it shows in the diff, and a test runs `--check`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from schemas.command_line.options import Option
from schemas.command_line.page import Page
from schemas.command_line.program import Command, Program
from schemas.command_line.program import run as run_program
from schemas.dead_letter import DeadLetter
from schemas.input.fields import DEFAULT_PATHS, parse_paths
from schemas.manifest import Manifest
from schemas.output.rating_schema import avro_schema
from schemas.prediction import PREDICTION
from schemas.rating import RATING
from schemas.review import REVIEW

FOLDER: Final = Path(__file__).parent / "json"
_EXAMPLES: Final = """\
  python -m schemas export
  python -m schemas export --check"""
_EXIT_CODES: Final = "  0  done    1  --check: a file is out of date    2  wrong usage"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
# What we write is described as it is written, and what others write as we accept it.
EXPORTED: Final[dict[str, tuple[type[BaseModel] | TypeAdapter[Any], JsonSchemaMode]]] = {
    "review": (REVIEW, "validation"),
    "prediction": (PREDICTION, "serialization"),
    "rating": (RATING, "serialization"),
    "dead_letter": (DeadLetter, "serialization"),
    "manifest": (Manifest, "validation"),
}


class _Untitled(GenerateJsonSchema):
    """Gives no titles to fields: pydantic's repeat their names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False


def schema_text(name: str) -> str:
    """Return one schema as its file holds it."""
    model, mode = EXPORTED[name]
    adapter = model if isinstance(model, TypeAdapter) else TypeAdapter(model)
    schema: dict[str, Any] = {"$schema": DIALECT, **adapter.json_schema(mode=mode, schema_generator=_Untitled)}
    if name == "review":
        _describe_review(schema)
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _describe_review(schema: dict[str, Any]) -> None:
    """Describe every name that a field is known by: a producer may use any of them."""
    paths = {
        "text": DEFAULT_PATHS.text,
        "review_id": DEFAULT_PATHS.id,
        "app_id": DEFAULT_PATHS.app,
        "score": DEFAULT_PATHS.score,
        "created_at": DEFAULT_PATHS.time,
        "app_version": DEFAULT_PATHS.version,
    }
    properties = schema["properties"]
    del properties["ignored"]
    names = {name: [alias for (alias,) in parse_paths(paths[name])] for name in properties}
    for name, aliases in names.items():
        for alias in aliases[1:]:
            properties[alias] = {**properties[name], "description": f"Alias of {name}."}
    del schema["required"]
    schema["anyOf"] = [{"required": [alias]} for alias in names["text"]]


def _texts() -> dict[str, str]:
    """Return what each file holds: JSON Schemas, and the rating as Avro."""
    avro = json.dumps(avro_schema(), indent=2, ensure_ascii=False) + "\n"
    return {**{f"{name}.schema.json": schema_text(name) for name in EXPORTED}, "rating.avsc.json": avro}


def stale(folder: Path = FOLDER) -> list[str]:
    """Return the names of files that are missing, out of date, or of a schema that no longer exists."""
    texts = _texts()
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    return sorted(name for name in texts.keys() | there.keys() if texts.get(name) != there.get(name))


def export(folder: Path = FOLDER) -> None:
    """Write every schema, and remove the files of schemas that no longer exist."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.json"):
        path.unlink()
    for name, text in _texts().items():
        (folder / name).write_text(text, encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    """Run the command; 1 when `--check` finds a file out of date."""
    line = f"write {FOLDER.parent.name}/{FOLDER.name}/"
    page = Page(line[0].upper() + line[1:] + ", or only compare it.", _EXAMPLES, exit_codes=_EXIT_CODES)
    check = Option("--check", is_flag=True, help="write nothing; fail when a file is out of date")
    commands = {"Commands": {"export": (line, lambda: Command("export", page, _export, [check]))}}
    return run_program(Program("python -m schemas", Page("The contracts as JSON Schema.", _EXAMPLES), commands), argv)


def _export(own: dict[str, Any], _settings: dict[str, Any]) -> int:
    if not own["check"]:
        export()
        return 0
    names = stale()
    for name in names:
        print(f"{FOLDER / name}: out of date; run: python -m schemas export", file=sys.stderr)
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())
