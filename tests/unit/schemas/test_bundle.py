from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.bundle import Bundle, BundleError, parse_table, read_bundle, table_bytes
from schemas.decision import Decision, zero_one_costs
from schemas.encoding import DROPPED, EncoderSettings, tokens
from schemas.manifest import DataFingerprint, DriftBaseline, FileDigest, GoldenReview, Manifest
from tests.unit.schemas.test_inference import Adder

TABLE = {"good": 2, "bad": 3, "the": DROPPED}
FILES = {"model.tflite": b"a graph", "encoder.tsv": table_bytes(TABLE), "report.html": b"<html>"}
GOLDEN = GoldenReview(text="the good bad", ids=[2, 3], probabilities=[0.3298, 0.3228, 0.3432], rating=3)


def _manifest(files: dict[str, bytes] = FILES, **more: Any) -> Manifest:
    fields: dict[str, Any] = {
        "version": "20260101T000000Z-0a1b2c3d",
        "created_at": "2026-01-01T00:00:00+00:00",
        "encoder": EncoderSettings(),
        "decision": Decision(labels=[1, 2, 3], costs=zero_one_costs(3)),
        "cell": "gru",
        "variant": "float32",
        "files": {
            name: FileDigest(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
            for name, content in files.items()
        },
        "data": DataFingerprint(
            files={}, rows=3, train_rows=1, validation_rows=1, test_rows=1, duplicate_rows=0, label_counts={"1": 3}
        ),
        "metrics": {"accuracy": 1.0},
        "golden": [_golden_from_adder()],
        "baseline": DriftBaseline(
            rating_shares=[1.0],
            confidence_edges=[],
            confidence_shares=[1.0],
            length_edges=[],
            length_shares=[1.0],
            unknown_ratio=0.0,
        ),
        "toolchain": {},
        "training": {},
    }
    return Manifest.model_validate({**fields, **more})


def _golden_from_adder() -> GoldenReview:
    logits = np.array([3, 0, 2], dtype=np.float64) / 50  # Adder: ids 2 and 3, summed by their remainder of three
    shares = np.exp(logits) / np.exp(logits).sum()
    return GOLDEN.model_copy(update={"probabilities": shares.tolist()})


def _write(folder: Path, manifest: Manifest | None = None) -> Path:
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    (folder / "manifest.json").write_text((manifest or _manifest()).model_dump_json())
    return folder


def test_bundle_is_read_back_as_written(tmp_path: Path) -> None:
    bundle = read_bundle(_write(tmp_path))
    assert bundle.manifest == _manifest()
    assert bundle.model == b"a graph"
    assert bundle.table == TABLE
    assert bundle.version == "20260101T000000Z-0a1b2c3d"


@given(
    words=st.lists(st.text(st.characters(exclude_categories=["Cs"])).map(tokens), max_size=30),
    ids=st.lists(st.integers(2, 99) | st.just(DROPPED), min_size=1, max_size=5),
)
def test_table_reads_back_from_its_file(words: list[list[str]], ids: list[int]) -> None:
    surfaces = sorted({token for found in words for token in found})
    table = {surface: ids[at % len(ids)] for at, surface in enumerate(surfaces)}
    assert parse_table(table_bytes(table)) == table


def test_table_file_does_not_depend_on_the_order_of_the_table() -> None:
    assert table_bytes(TABLE) == table_bytes(dict(reversed(TABLE.items()))) == b"the\t-1\ngood\t2\nbad\t3\n"


@pytest.mark.parametrize("content", [b"good\n", b"good\ttwo\n", b"\n"])
def test_table_fault_is_named_by_line(content: bytes) -> None:
    with pytest.raises(BundleError, match=r"encoder\.tsv: line 2"):
        parse_table(b"fine\t2\n" + content)


@pytest.mark.parametrize("name", list(FILES))
def test_altered_or_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    _write(tmp_path)
    (tmp_path / name).write_bytes(FILES[name] + b" ")
    with pytest.raises(BundleError, match=f"{name}: sha256 differs"):
        read_bundle(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(BundleError, match=f"{name}: No such file"):
        read_bundle(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda raw: raw.update(schema_version=99), "schema_version 99, this release reads 1; upgrade"),
        (lambda raw: raw.pop("schema_version"), "not a manifest"),
        (lambda raw: raw.update(version="latest"), "version: String should match"),
        (lambda raw: raw.update(golden=[]), "golden: List should have at least 1"),
        (lambda raw: raw["decision"].update(costs=[[0]]), "decision: .*must be 3 x 3"),
        (lambda raw: raw["files"].pop("model.tflite"), "model.tflite is not listed"),
        (lambda raw: raw["files"].pop("encoder.tsv"), "encoder.tsv is not listed"),
        (lambda raw: raw.update(surprise=1), "surprise: Extra inputs"),
    ],
)
def test_wrong_manifest_names_the_field(tmp_path: Path, spoil: Callable[[dict[str, Any]], None], said: str) -> None:
    _write(tmp_path)
    raw = json.loads((tmp_path / "manifest.json").read_bytes())
    spoil(raw)
    (tmp_path / "manifest.json").write_text(json.dumps(raw))
    with pytest.raises(BundleError, match=said):
        read_bundle(tmp_path)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"{", b"null"])
def test_damaged_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"manifest\.json: not a manifest"):
        read_bundle(tmp_path)
    with pytest.raises(BundleError, match="is this a published bundle"):
        read_bundle(tmp_path / "nowhere")


def test_load_accepts_a_bundle_whose_golden_reviews_agree() -> None:
    model = Bundle(_manifest(), b"a graph", TABLE).load(lambda _: Adder())
    assert model.score(["good"]).probabilities.shape == (1, 3)


@pytest.mark.parametrize(
    ("golden", "said"),
    [
        ({"ids": [2, 2]}, "golden review 0: the encoder gives other ids"),
        ({"probabilities": [0.9, 0.05, 0.05]}, "golden review 0: probabilities are off by"),
    ],
)
def test_load_refuses_a_bundle_whose_golden_reviews_differ(golden: dict[str, Any], said: str) -> None:
    manifest = _manifest(golden=[_golden_from_adder().model_copy(update=golden)])
    with pytest.raises(BundleError, match=said):
        Bundle(manifest, b"a graph", TABLE).load(lambda _: Adder())


class Broken(Adder):
    """A graph whose weights went bad."""

    def get_tensor(self, tensor_index: int) -> npt.NDArray[Any]:
        return super().get_tensor(tensor_index) * np.nan


def test_load_refuses_probabilities_that_are_not_numbers() -> None:
    with pytest.raises(BundleError, match="off by nan"):
        Bundle(_manifest(), b"a graph", TABLE).load(lambda _: Broken())


def test_load_translates_the_errors_of_the_runtime() -> None:
    def refuse(_: bytes) -> Adder:
        raise ValueError("not a flatbuffer")

    with pytest.raises(BundleError, match=r"model\.tflite: the runtime refuses it: not a flatbuffer"):
        Bundle(_manifest(), b"a graph", TABLE).load(refuse)
    with pytest.raises(BundleError, match="not a word id"):
        Bundle(_manifest(), b"a graph", {"good": 0}).load(lambda _: Adder())
