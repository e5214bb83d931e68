"""Exports the contracts as JSON Schema: `python -m schemas export` writes `schemas/json/`, `--check` only compares.

Owns the list of what is exported. Producers and readers in other languages build on these files, so a changed file is a
changed contract: it shows in the diff, and a test runs `--check`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from pydantic import AliasChoices, BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from schemas.dead_letter import DeadLetter
from schemas.manifest import Manifest
from schemas.prediction import PREDICTION
from schemas.rating import RATING
from schemas.review import Review

FOLDER: Final = Path(__file__).parent / "json"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
# What we write is described as it is written, and what others write as we accept it.
EXPORTED: Final[dict[str, tuple[type[BaseModel] | TypeAdapter[Any], JsonSchemaMode]]] = {
    "review": (Review, "validation"),
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
    if mode == "validation" and not isinstance(model, TypeAdapter):
        _add_aliases(schema, model)
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _add_aliases(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Describe the aliases of a field too: pydantic leaves them out, and a producer may use any of them."""
    properties = schema["properties"]
    for name, field in model.model_fields.items():
        if isinstance(field.validation_alias, AliasChoices):
            aliases = [str(alias) for alias in field.validation_alias.choices if alias != name]
            properties |= {alias: {**properties[name], "description": f"Alias of {name}."} for alias in aliases}
            if name in schema.get("required", ()):
                schema["required"].remove(name)
                schema["anyOf"] = [{"required": [choice]} for choice in (name, *aliases)]


def stale(folder: Path = FOLDER) -> list[str]:
    """Return the names of files that are missing, out of date, or of a schema that no longer exists."""
    texts = {f"{name}.schema.json": schema_text(name) for name in EXPORTED}
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    return sorted(name for name in texts.keys() | there.keys() if texts.get(name) != there.get(name))


def export(folder: Path = FOLDER) -> None:
    """Write every schema, and remove the files of schemas that no longer exist."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.json"):
        path.unlink()
    for name in EXPORTED:
        (folder / f"{name}.schema.json").write_text(schema_text(name), encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    """Run the command; 1 when `--check` finds a file out of date."""
    parser = argparse.ArgumentParser(prog="python -m schemas", description="The contracts as JSON Schema.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("export", help=f"write {FOLDER.parent.name}/{FOLDER.name}/")
    command.add_argument("--check", action="store_true", help="write nothing; fail when a file is out of date")
    if parser.parse_args(argv).check:
        names = stale()
        for name in names:
            print(f"{FOLDER / name}: out of date; run: python -m schemas export", file=sys.stderr)
        return 1 if names else 0
    export()
    return 0


if __name__ == "__main__":
    sys.exit(main())
