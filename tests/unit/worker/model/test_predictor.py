"""`worker.Model`: what programs get that rate texts by themselves."""

from __future__ import annotations

import multiprocessing
import pickle
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from schemas.prediction import PREDICTION_FIELDS, Prediction
from schemas.starter import starter_version
from tests.conftest import ROOT, TOY_REGISTRY, TOY_VERSION
from tests.fixtures.bundles import SECOND, Change, ToyRegistry
from worker import Model
from worker.errors import ModelError, RegistryError

TEXTS = ("good", "bad", "good good worst", "never heard of it", "bad " * 40)


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.open(TOY_REGISTRY)


def rated_elsewhere(model: Model) -> tuple[str, list[Prediction | None]]:
    return model.version, model.rate(TEXTS)


def test_texts_get_predictions_in_their_order(model: Model) -> None:
    good, bad = model.rate(["good", "bad"])
    assert good is not None
    assert bad is not None
    assert (good.rating, bad.rating) == (5, 1)
    assert good.confidence == good.probabilities[4] == max(good.probabilities)
    assert good.model_version == model.version == TOY_VERSION
    assert list(model.labels) == [1, 2, 3, 4, 5]
    assert model.manifest.cell == "gru"
    assert model.rate([]) == []


def test_the_starter_needs_no_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = Model.starter()
    assert found.version == starter_version()
    assert [said and said.rating for said in found.rate(["love it", "Terrible, it crashes all day."])] == [5, 1]


def test_what_cannot_be_rated_is_none_and_check_says_why(model: Model) -> None:
    texts = ["good", None, " \n", "a\0b", 5, float("nan"), "x" * 20_001, "bad"]
    assert [found and found.rating for found in model.rate(texts)] == [5, *[None] * 6, 1]
    assert [(model.check(text) or "").partition(";")[0] for text in texts] == [
        "",
        "text: expected a string",
        "text: empty or blank",
        "text: contains a null byte",
        "text: expected a string",
        "text: expected a string",
        "text: 20001 characters, over the limit of 20000 (max_text_chars)",
        "",
    ]


def test_a_text_the_runtime_refuses_costs_its_neighbours_nothing(tmp_path: Path) -> None:
    registry = ToyRegistry(tmp_path)
    registry.publish(SECOND, Change(bad_terrible=True))
    texts = ["good"] * 40 + ["terrible"] + ["bad"] * 40
    found = Model.open(tmp_path, SECOND).rate(texts)
    assert [prediction and prediction.rating for prediction in found] == [5] * 40 + [None] + [1] * 40


def test_columns_are_the_predictions_by_field(model: Model) -> None:
    texts = [*TEXTS, "", *TEXTS * 500]  # more than a chunk
    columns = model.columns(texts)
    assert tuple(columns) == model.fields == PREDICTION_FIELDS[:-3], "all but the labels and the remarks"
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    nothing = dict.fromkeys(model.fields)
    assert rows == [nothing if found is None else found.to_fields() for found in model.rate(texts)]
    assert rows[5] == nothing


def test_authors_scores_and_reasons_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = Model.open("models", starter_version(), reasons="low")
    texts, scores = ["love it", "love it", "awful, it crashes", None, "bad"], [1, "5", 5.0, 5, float("nan")]
    said = found.rate(texts, scores)
    assert [one and one.mismatch for one in said] == [True, False, True, None, None]
    assert [one and bool(one.reasons) for one in said] == [False, False, True, None, True]
    columns = found.columns(texts, scores)
    assert (*columns, "labels") == (*found.fields[:-1], "mismatch", "reasons", "labels")
    assert columns["mismatch"] == [True, False, True, None, None]
    assert "mismatch" not in found.columns(texts)
    assert all(one is None or one.mismatch is None for one in found.rate(texts))
    again: Model = pickle.loads(pickle.dumps(found))  # noqa: S301 - made here
    assert again.columns(texts, scores) == columns
    with pytest.raises(ValueError, match="author_scores: 1 for 2 texts"):
        found.rate(["a", "b"], [1])


@pytest.mark.parametrize("kind", ["int8", "int64", "uint16", "float32", "float64", "str"])
def test_authors_scores_may_be_an_array(kind: str) -> None:
    """A number of NumPy's is no `int` of Python's, and was taken for no number."""
    said = Model.starter().rate(["love it", "love it"], np.array([1, 5]).astype(kind))
    assert [one and one.mismatch for one in said] == [True, False]


def test_a_channel_or_a_version_is_opened_and_stays(tmp_path: Path) -> None:
    registry = ToyRegistry(tmp_path)
    registry.publish(SECOND, Change(always=1))
    registry.point("candidate", SECOND)
    stable = Model.open(str(tmp_path))
    assert (stable.version, Model.open(tmp_path, "candidate").version) == (TOY_VERSION, SECOND)
    registry.point("stable", SECOND)
    assert stable.version == TOY_VERSION
    assert Model.open(tmp_path, TOY_VERSION).rate(TEXTS) == stable.rate(TEXTS)


def test_a_low_confidence_is_marked(model: Model) -> None:
    (found,) = Model.open(TOY_REGISTRY, min_confidence=1).rate(["good"])
    (sure,) = model.rate(["good"])
    assert found is not None
    assert sure is not None
    assert (found.uncertain, sure.uncertain) == (True, False)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"channels\.json is missing"):
        Model.open(tmp_path)
    with pytest.raises(RegistryError, match="no-such"):
        Model.open(TOY_REGISTRY, "no-such")
    with pytest.raises(ModelError, match="20200101T000000Z-00000000"):
        Model.open(TOY_REGISTRY, "20200101T000000Z-00000000")


def test_threads_get_the_numbers_that_one_gets() -> None:
    """The interpreter and the encoder's cache take one call at a time; without the lock ids and shapes get mixed."""
    model = Model.open(TOY_REGISTRY)
    batches = [[f"{'good' if number % 3 else 'bad'} " * (1 + number % 60)] * (1 + number % 7) for number in range(64)]
    wanted = [model.rate(batch) for batch in batches]
    together = threading.Barrier(8)

    def rate(number: int) -> bool:
        together.wait(60)
        return all(model.rate(batch) == found for batch, found in zip(batches, wanted, strict=True)) and number >= 0

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            assert all(threads.map(rate, range(8)))
    finally:
        sys.setswitchinterval(interval)


def test_the_lines_of_the_readme_rate(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    program = next(block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "model.rate" in block)
    exec(program.replace('"models/"', repr(str(TOY_REGISTRY))), {})  # noqa: S102 - the README's own lines
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["5", "3"]


@pytest.mark.parametrize("file", ["README.md", "tests/benchmarks/spark_rate.py"])
def test_the_schemas_for_spark_have_every_column(model: Model, file: str) -> None:
    """Spark leaves out what its schema does not name."""
    schema = re.search(r'SCHEMA = (?:\\?"){3}(.*?)\\?"', (ROOT / file).read_text(encoding="utf-8"), re.DOTALL)
    assert schema is not None
    names = [column.split()[0] for column in schema[1].split(",")]
    assert names == ["review_id", *model.columns(["good"])]


def test_another_process_gets_the_same_version_once(model: Model) -> None:
    sent = pickle.dumps(model)
    assert len(sent) < 500  # where it is, not its weights
    assert pickle.loads(sent) is pickle.loads(sent)  # noqa: S301  (our own, just made)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(rated_elsewhere, (model,)) == (model.version, model.rate(TEXTS))
