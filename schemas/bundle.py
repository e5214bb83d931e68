"""A bundle on disk: read it, verify it, and build the served model from it.

Owns the file names inside `<registry>/<version>/` and the checks before a bundle may serve. Never writes, and never
decides which version to load: the trainer's registry publishes, and the worker follows a channel.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from schemas.encoding import Encoder
from schemas.inference import Graph, Interpreter, Model
from schemas.manifest import READ_VERSIONS, Manifest

MODEL_FILE = "model.tflite"
TABLE_FILE = "encoder.tsv"
MANIFEST_FILE = "manifest.json"
REPORT_FILE = "report.html"

# Kernels differ between runtimes and CPUs in the last bits, more after int8; a wrong graph differs by far more.
GOLDEN_TOLERANCE = 0.01

InterpreterFactory = Callable[[bytes], Interpreter]


class BundleError(Exception):
    """A bundle that must not serve; the message names the file or field, and says what to do."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle, in memory."""

    manifest: Manifest
    model: bytes
    table: Mapping[str, int]

    @property
    def version(self) -> str:
        """The bundle's version: UTC time and short content hash."""
        return self.manifest.version

    def load(self, interpreter_factory: InterpreterFactory) -> Model:
        """Build the served model on either runtime, and check that it gives the golden reviews their probabilities.

        Raises:
            BundleError: the runtime refuses the graph, or a golden review gets other ids or probabilities.
        """
        try:
            model = Model(
                Encoder(self.manifest.encoder, self.table),
                Graph(interpreter_factory(self.model)),
                self.manifest.decision,
            )
            self._check_golden(model)
        except (RuntimeError, ValueError, MemoryError) as error:
            raise BundleError(f"{self.version}/{MODEL_FILE}: the runtime refuses it: {error}") from error
        return model

    def _check_golden(self, model: Model) -> None:
        golden = self.manifest.golden
        for number, review in enumerate(golden):
            if model.encoder.encode(review.text).tolist() != review.ids:
                raise BundleError(
                    f"{self.version}: golden review {number}: the encoder gives other ids than at training; retrain"
                )
        scores = model.score([review.text for review in golden])
        expected = np.array([review.probabilities for review in golden], dtype=np.float32)
        off = np.abs(scores.probabilities - expected).max(axis=1)
        if not off.max() <= GOLDEN_TOLERANCE:  # a NaN must not pass
            raise BundleError(
                f"{self.version}: golden review {int(off.argmax())}: probabilities are off by {off.max():.4f}, "
                f"over {GOLDEN_TOLERANCE}; this runtime computes other results than the trainer's"
            )


def read_bundle(folder: Path | zipfile.Path) -> Bundle:
    """Read `<registry>/<version>/`, or the same inside a zip file, and verify every file against the manifest.

    Raises:
        BundleError: a file is missing, altered, or of a schema version that this release does not read.
    """
    manifest = _read_manifest(folder / MANIFEST_FILE)
    contents: dict[str, bytes] = {}
    for name, digest in manifest.files.items():
        try:
            contents[name] = (folder / name).read_bytes()
        except OSError as error:
            raise BundleError(f"{folder / name}: {error.strerror}; publish the bundle again") from error
        if hashlib.sha256(contents[name]).hexdigest() != digest.sha256:
            raise BundleError(f"{folder / name}: sha256 differs from the manifest; publish the bundle again")
    for name in (MODEL_FILE, TABLE_FILE):
        if name not in contents:
            raise BundleError(f"{folder / MANIFEST_FILE}: files: {name} is not listed; publish the bundle again")
    return Bundle(manifest, contents[MODEL_FILE], parse_table(contents[TABLE_FILE], str(folder / TABLE_FILE)))


def table_bytes(table: Mapping[str, int]) -> bytes:
    """Return the encoder table as UTF-8 lines `surface<TAB>id`, ordered by id, then surface."""
    lines = sorted(table.items(), key=lambda item: (item[1], item[0]))
    return "".join(f"{surface}\t{token_id}\n" for surface, token_id in lines).encode()


def parse_table(content: bytes, name: str = TABLE_FILE) -> dict[str, int]:
    """Read what `table_bytes` wrote.

    Raises:
        BundleError: a line is not of that form; the message has its number.
    """
    table: dict[str, int] = {}
    for number, line in enumerate(content.decode("utf-8").split("\n")[:-1], start=1):
        surface, _, token_id = line.rpartition("\t")
        try:
            table[surface] = int(token_id)
        except ValueError as error:
            raise BundleError(f"{name}: line {number}: not 'surface<TAB>id'") from error
    return table


def parse_manifest(content: bytes | None, name: str = MANIFEST_FILE) -> Manifest:
    """Read a manifest; None stands for a missing file.

    Raises:
        BundleError: it is missing, invalid, or of a schema version that this release does not read.
    """
    if content is None:
        raise BundleError(f"{name}: No such file; is this a published bundle?")
    try:
        raw = json.loads(content)
        found = raw["schema_version"]
        if found not in READ_VERSIONS:
            known = " and ".join(map(str, READ_VERSIONS))
            raise BundleError(f"{name}: schema_version {found}, this release reads {known}; upgrade")
        return Manifest.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise BundleError(f"{name}: {field}: {first['msg']}; publish the bundle again") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"{name}: not a manifest ({type(error).__name__}); publish the bundle again") from error


def _read_manifest(path: Path | zipfile.Path) -> Manifest:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}; is this a published bundle?") from error
    return parse_manifest(content, str(path))
