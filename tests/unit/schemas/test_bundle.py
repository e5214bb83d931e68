from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.bundle import Bundle, BundleError, parse_table, read_bundle, table_bytes
from schemas.encoding import DROPPED, tokens
from tests.conftest import TOY_REGISTRY, TOY_VERSION
from tests.fixtures.bundles import SECOND, Change, ToyRegistry
from trainer.export.runtime import open_interpreter

TABLE = {"good": 2, "bad": 3, "the": DROPPED}
TOY = read_bundle(TOY_REGISTRY / TOY_VERSION)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return ToyRegistry(tmp_path / "models").root / TOY_VERSION


def _with_golden(bundle: Bundle, **changes: Any) -> Bundle:
    """Return a bundle whose only golden review has other fields than it was published with."""
    golden = [bundle.manifest.golden[0].model_copy(update=changes)]
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"golden": golden}))


def test_bundle_is_read_back_as_written(folder: Path) -> None:
    assert read_bundle(folder) == TOY
    assert TOY.version == TOY_VERSION
    assert TOY.model == (folder / "model.tflite").read_bytes()
    assert table_bytes(TOY.table) == (folder / "encoder.tsv").read_bytes()


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


@pytest.mark.parametrize("name", ["model.tflite", "encoder.tsv"])
def test_altered_or_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes() + b" ")
    with pytest.raises(BundleError, match=f"{name}: sha256 differs"):
        read_bundle(folder)
    (folder / name).unlink()
    with pytest.raises(BundleError, match=f"{name}: No such file"):
        read_bundle(folder)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda raw: raw.update(schema_version=99), "schema_version 99, this release reads 1 and 2; upgrade"),
        (lambda raw: raw.pop("schema_version"), "not a manifest"),
        (lambda raw: raw.update(version="latest"), "version: String should match"),
        (lambda raw: raw.update(golden=[]), "golden: List should have at least 1"),
        (lambda raw: raw["decision"].update(costs=[[0]]), "decision.stars: .*must be 5 x 5"),
        (lambda raw: raw["files"].pop("model.tflite"), "model.tflite is not listed"),
        (lambda raw: raw["files"].pop("encoder.tsv"), "encoder.tsv is not listed"),
        (lambda raw: raw.update(surprise=1), "surprise: Extra inputs"),
    ],
)
def test_wrong_manifest_names_the_field(folder: Path, spoil: Callable[[dict[str, Any]], None], said: str) -> None:
    raw = json.loads((folder / "manifest.json").read_bytes())
    spoil(raw)
    (folder / "manifest.json").write_text(json.dumps(raw))
    with pytest.raises(BundleError, match=said):
        read_bundle(folder)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"{", b"null", b"[" * 100_000, b"9" * 5000])
def test_damaged_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"manifest\.json: not a manifest"):
        read_bundle(tmp_path)
    with pytest.raises(BundleError, match="is this a published bundle"):
        read_bundle(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("golden", "said"),
    [
        ({"ids": [2, 2]}, "golden review 0: the encoder gives other ids"),
        ({"probabilities": [0.9, 0.05, 0.05, 0, 0]}, "golden review 0: probabilities are off by 0"),
    ],
)
def test_load_refuses_a_bundle_whose_golden_reviews_differ(golden: dict[str, Any], said: str) -> None:
    with pytest.raises(BundleError, match=said):
        _with_golden(TOY, **golden).load(open_interpreter)


def test_load_refuses_probabilities_that_are_not_numbers(tmp_path: Path) -> None:
    ToyRegistry(tmp_path / "models").publish(SECOND, Change(bad_terrible=True))
    bundle = read_bundle(tmp_path / "models" / SECOND)
    bundle.load(open_interpreter)
    with pytest.raises(BundleError, match="off by nan"):
        _with_golden(bundle, text="terrible", ids=[8]).load(open_interpreter)


def test_load_translates_the_errors_of_the_runtime() -> None:
    def refuse(_: bytes) -> NoReturn:
        raise ValueError("not a flatbuffer")

    with pytest.raises(BundleError, match=r"model\.tflite: the runtime refuses it: not a flatbuffer"):
        TOY.load(refuse)
    with pytest.raises(BundleError, match="not a word id"):
        replace(TOY, table={"good": 0}).load(open_interpreter)
