"""Batch prediction over the toy bundle: every row is rated or reported by its number."""

from __future__ import annotations

import csv
import gzip
import json
import os
import sys
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet, table

from schemas.bundle import read_bundle
from schemas.input.text_files import opened
from schemas.prediction import REMARKS, fields_of
from schemas.starter import starter_version
from tests.conftest import TOY_REGISTRY, TOY_VERSION
from tests.doubles import ManualClock
from tests.fixtures.bundles import SECOND, Change, ToyRegistry
from tests.fixtures.serving import pending
from worker.commands.predict import PredictFiles, predict
from worker.errors import ExitCode, SettingsError
from worker.model.classifier import TfliteClassifier
from worker.model.registry import fetch_bundle
from worker.model.remarks import RatingOptions
from worker.model.runtime import load_runtime
from worker.ops.metrics import Metrics
from worker.records import Rated
from worker.settings import WorkerSettings, read_settings

pytestmark = pytest.mark.usefixtures("clean_environment")

STARS = list(fields_of(read_bundle(TOY_REGISTRY / TOY_VERSION).manifest.decision))
# The texts, and their authors' stars, of which some are those of another text.
REMARKED: list[tuple[str, Any]] = [
    ("it crashes all day, refund!", 5), ("love it", 5), ("love it", 1), ("not bad, not good", ""), ("😡", 4.5),
]  # fmt: skip


@pytest.fixture
def settings() -> WorkerSettings:
    return read_settings({"registry": str(TOY_REGISTRY), "max_text_chars": "200"})


class Run:
    """One prediction: its exit code, its rows by number, and what it said."""

    def __init__(
        self,
        settings: WorkerSettings,
        folder: Path,
        content: bytes | str,
        name: str = "in.csv",
        target: str = "out.jsonl",
    ) -> None:
        source = folder / name
        source.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.code = predict(settings, PredictFiles(str(source), str(folder / target)))
        self.text = (folder / target).read_text()
        entries = [json.loads(line) for line in self.text.splitlines()] if target == "out.jsonl" else []
        self.rows: dict[int, dict[str, Any]] = {entry["row"]: entry for entry in entries}

    @property
    def stars(self) -> dict[int, int]:
        return {number: entry["rating"] for number, entry in self.rows.items()}


def test_csv_is_rated_row_by_row(settings: WorkerSettings, tmp_path: Path) -> None:
    run = Run(settings, tmp_path, 'content,review_id\nlove it,a\n"bad, and\nworst",\nok,c\n')
    assert run.code == ExitCode.OK
    assert run.stars == {1: 5, 2: 1, 3: 3}
    first = run.rows[1]
    assert list(first) == ["row", "review_id", *STARS, "content"]
    assert (first["review_id"], first["model_version"], len(first["probabilities"])) == ("a", TOY_VERSION, 5)
    assert first["confidence"] == max(first["probabilities"])
    assert all(len(repr(share)) <= 8 for share in first["probabilities"]), "six digits"
    assert run.rows[2]["review_id"] is None


def test_broken_rows_are_reported_by_number_and_the_others_rated(
    settings: WorkerSettings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [b"love it,a", b"\xff\xfe,b", b" ,c", b"bad,d,more", b"worst", b"x" * 201 + b",f", b"good,g"]
    run = Run(settings, tmp_path, b"content,review_id\n" + b"\n".join(rows))
    assert run.code == ExitCode.INPUT
    assert run.stars == {1: 5, 5: 1, 7: 5}
    said = capfd.readouterr().err
    for number, why in ((2, "text: not UTF-8"), (3, "empty or blank"), (4, "more cells"), (6, "201 characters")):
        assert any(f"row {number} (line {number + 1}): " in line and why in line for line in said.splitlines()), said
    assert "3 rows rated, 4 not" in said


@pytest.mark.parametrize(
    "content", ["review_id,content\na\nb,love\n", 'content\n"love" it\nlove\n'], ids=["too short", "misquoted"]
)
def test_a_broken_row_does_not_take_the_next_with_it(settings: WorkerSettings, tmp_path: Path, content: str) -> None:
    run = Run(settings, tmp_path, content)
    assert (run.code, run.stars) == (ExitCode.INPUT, {2: 5})


def test_many_broken_rows_are_counted_not_listed(
    settings: WorkerSettings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = Run(settings, tmp_path, "content,x\n" + " ,1\n" * 50 + "love,1\n")
    said = capfd.readouterr().err
    assert run.stars == {51: 5}
    assert said.count(": row ") == 20
    assert "and 30 more rows" in said


def test_a_missing_text_column_says_which_there_are(settings: WorkerSettings, tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError,
        match=r"--input .*in.csv: none of the columns text, content, review, body; there are: id, words; name one with",
    ):
        Run(settings, tmp_path, "id,words\n1,love\n")
    named = settings.model_copy(update={"text_field": "comment"})
    with pytest.raises(SettingsError, match=r"none of the columns comment; there are: id, words; .* --text-field"):
        Run(named, tmp_path, "id,words\n1,love\n")
    assert Run(settings.model_copy(update={"text_field": "WORDS"}), tmp_path, "id,words\n1,love\n").stars == {1: 5}


def test_a_named_column_that_is_not_there_is_said(
    settings: WorkerSettings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    named = settings.model_copy(update={"id_field": "key", "score_field": "x"})
    run = Run(named, tmp_path, "content,x\nlove,1\n")
    said = capfd.readouterr().err
    assert (run.code, run.stars) == (ExitCode.OK, {1: 5})
    assert "in.csv: --id-field key: no such column; the rows are read without it\n" in said
    assert said.count("no such column") == 1


def test_a_preset_reads_the_export_it_is_named_after(settings: WorkerSettings, tmp_path: Path) -> None:
    export = "Package Name,Review Title,Review Text,Review Link\ncom.x,Nice,love it,http://x?reviewId=1\n"
    run = Run(settings.model_copy(update={"input_preset": "play-console"}), tmp_path, export)
    assert (run.stars, run.rows[1]["review_id"]) == ({1: 5}, "http://x?reviewId=1")


def test_a_table_keeps_every_row_and_column_and_adds_ours(settings: WorkerSettings, tmp_path: Path) -> None:
    source = 'id;Text;rating\n1;"love; it";2\n2; ;5\n'
    run = Run(settings, tmp_path, source, "in.csv", "out.csv")
    assert run.code == ExitCode.INPUT
    header, first, second = csv.reader(run.text.splitlines())
    ours = [f"starstream_{name}" for name in STARS]
    assert header == ["id", "Text", "rating", *ours, "starstream_error"]
    assert (first[:4], first[-1]) == (["1", "love; it", "2", "5"], "")
    assert second == ["2", " ", "5", *[""] * len(ours), "text: empty or blank; a review needs words"]


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl"])
def test_what_an_earlier_prediction_added_is_replaced(settings: WorkerSettings, tmp_path: Path, name: str) -> None:
    header = "id,text,starstream_rating,starstream_reasons,starstream_labels,starstream_error"
    Run(settings, tmp_path, f"{header}\n1,love,2,old,old,old\n", "in.csv", name)
    first = (tmp_path / name).read_text()
    (tmp_path / "again").mkdir()
    predict(settings, PredictFiles(str(tmp_path / name), str(tmp_path / "again" / name)))
    assert (tmp_path / "again" / name).read_text() == first
    assert ("old" in first, first.count("starstream_rating")) == (False, 1 if name == "out.csv" else 0)


def test_a_table_keeps_an_id_that_only_an_earlier_prediction_s_lines_have(
    settings: WorkerSettings, tmp_path: Path
) -> None:
    found = Run(settings, tmp_path, "text,starstream_review_id\nlove,abc\n", target="out.csv")
    assert found.text.splitlines()[1].startswith("love,abc,5,")


@pytest.mark.parametrize(
    ("name", "source", "columns", "cells"),
    [
        ("a.csv", "text,,,text\nlove,a,b,bad\n", ["text", "", "(2)", "text (2)"], [["love", "a", "b", "bad"]]),
        ("a.csv", b"text,caf\xe9\nlove,a\n", ["text", "caf?"], [["love", "a"]]),
        (
            "a.jsonl",
            '5\n{"text": "love"}\n{"text": "bad", "app": 7}\n',
            ["text", "app"],
            [["", ""], ["love", ""], ["bad", "7"]],
        ),
    ],
)
@pytest.mark.parametrize("target", ["out.csv", "out.csv.gz", "out.csv.zst"])
def test_a_table_has_one_header_and_every_cell_of_every_row(
    settings: WorkerSettings,
    tmp_path: Path,
    name: str,
    source: str | bytes,
    columns: list[str],
    cells: list[list[str]],
    target: str,
) -> None:
    (tmp_path / name).write_bytes(source if isinstance(source, bytes) else source.encode())
    predict(settings, PredictFiles(str(tmp_path / name), str(tmp_path / target)))
    with opened(tmp_path / target) as lines:
        header, *rows = csv.reader(list(lines))
    assert header[: len(columns) + 1] == [*columns, "starstream_rating"]
    assert [row[: len(columns)] for row in rows] == cells


def test_a_table_has_times_and_decimals_as_they_are_written(settings: WorkerSettings, tmp_path: Path) -> None:
    values = {
        "text": ["love"],
        "at": [datetime(2026, 1, 1)],  # noqa: DTZ001 - as a file has it
        "price": [Decimal("1.50")],
        "raw": [b"\xff"],
        "no": [False],
    }
    parquet.write_table(table(values), tmp_path / "a.parquet")
    predict(settings, PredictFiles(str(tmp_path / "a.parquet"), str(tmp_path / "out.csv")))
    _, row = csv.reader((tmp_path / "out.csv").read_text().splitlines())
    assert row[:5] == ["love", "2026-01-01 00:00:00", "1.50", "ff", "false"]


def test_a_pipe_is_written_to_and_a_link_stays(settings: WorkerSettings, tmp_path: Path) -> None:
    source, pipe, link = tmp_path / "in.csv", tmp_path / "pipe", tmp_path / "link.jsonl"
    source.write_text("text\nlove\n")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # as something that waits for the predictions
    predict(settings, PredictFiles(str(source), str(pipe)))
    assert json.loads(os.read(reader, 10_000))["rating"] == 5
    os.close(reader)
    link.symlink_to("real.jsonl")
    predict(settings, PredictFiles(str(source), str(link)))
    assert link.is_symlink()
    assert json.loads((tmp_path / "real.jsonl").read_text())["rating"] == 5


@pytest.mark.parametrize(
    ("target", "fault"),
    [
        ("", "a folder"),
        (" ", "a folder"),
        ("/", "a folder"),
        ("x.parquet", ".parquet is not written; choose"),
        ("x.xlsx", ".xlsx is not written"),
        ("no/x.csv", "there is no folder no"),
    ],
)
def test_an_output_that_cannot_be_is_refused(settings: WorkerSettings, tmp_path: Path, target: str, fault: str) -> None:
    (tmp_path / "in.csv").write_text("text\nlove\n")
    with pytest.raises(SettingsError, match=f"--output .*{fault}"):
        predict(settings, PredictFiles(str(tmp_path / "in.csv"), target))


def test_json_lines_keep_the_inputs_fields_and_prefix_ours_where_they_differ(
    settings: WorkerSettings, tmp_path: Path
) -> None:
    run = Run(settings, tmp_path, '{"text": "love", "rating": 1, "row": 1, "shop": {"id": 7}}\n', "in.jsonl")
    (entry,) = run.rows.values()
    assert (entry["rating"], entry["starstream_rating"], entry["row"], entry["shop"]) == (1, 5, 1, {"id": 7})
    assert "starstream_row" not in entry


def test_the_output_is_never_the_input_and_an_older_one_survives_a_fault(
    settings: WorkerSettings, tmp_path: Path
) -> None:
    source = tmp_path / "in.csv"
    source.write_text("text\nlove\n")
    with pytest.raises(SettingsError, match=r"--output .*in.csv: is the input too; choose another name"):
        predict(settings, PredictFiles(str(source), str(source)))
    assert source.read_text() == "text\nlove\n"
    (tmp_path / "out.jsonl").write_text("older")
    source.write_text('text\nlove\n"bad\n' + "more\n" * 2000)
    with pytest.raises(SettingsError, match="line 3: a quotation mark is opened"):
        predict(settings, PredictFiles(str(source), str(tmp_path / "out.jsonl")))
    assert (tmp_path / "out.jsonl").read_text() == "older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.jsonl"]


@pytest.fixture
def in_the_stream(metrics: Metrics) -> list[dict[str, Any]]:
    """What ratings of `REMARKED` say in the stream with WORKER_REASONS=all, where they say it."""
    runtime, interpreter = load_runtime()
    classifier = TfliteClassifier(
        fetch_bundle("models", starter_version()), interpreter, runtime=runtime, metrics=metrics,
        clock=ManualClock(), options=RatingOptions(reasons="all"),
    )  # fmt: skip
    reviews = [
        replace(review, review=replace(review.review, score=score or None))
        for review, (_, score) in zip(pending(*(text for text, _ in REMARKED)), REMARKED, strict=True)
    ]
    rated = [
        json.loads(one.value) for one in classifier.rate(reviews, "2026-01-01T00:00:00.000Z") if isinstance(one, Rated)
    ]
    return [{name: one[name] for name in REMARKS if name in one} for one in rated]


def test_reasons_and_contradictions_are_those_of_the_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_the_stream: list[dict[str, Any]]
) -> None:
    monkeypatch.chdir(tmp_path)  # where there is no registry, the starter rates
    settings = read_settings({"reasons": "all"})
    source = "".join(json.dumps({"text": text, "score": score}) + "\n" for text, score in REMARKED)
    found = Run(settings, tmp_path, source, "in.jsonl").rows
    assert [{name: row[name] for name in REMARKS if name in row} for row in found.values()] == in_the_stream
    assert [one.get("mismatch") for one in in_the_stream] == [False, False, True, None, None]
    assert [len(one["reasons"]) for one in in_the_stream] == [3, 1, 1, 2, 1]
    with (tmp_path / "in.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "stars"), *REMARKED])
    table = [
        *csv.DictReader(Run(settings, tmp_path, (tmp_path / "in.csv").read_text(), target="out.csv").text.splitlines())
    ]
    cells = [{name: row[f"starstream_{name}"] for name in REMARKS} for row in table]
    assert [{name: json.loads(cell) for name, cell in row.items() if cell} for row in cells] == in_the_stream
    assert cells[-1]["reasons"] == '["😡"]'


@pytest.mark.parametrize(
    ("reasons", "header", "columns"),
    [
        ("off", "text", []),
        ("off", "text,score", ["mismatch"]),
        ("low", "text", ["reasons"]),
        ("low", "text,rating", [*REMARKS]),
    ],
)
def test_a_table_has_the_columns_of_remarks_that_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reasons: str, header: str, columns: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    row = "love it" + ",5" * header.count(",")
    run = Run(read_settings({"reasons": reasons}), tmp_path, f"{header}\n{row}\n", target="out.csv")
    (rated,) = csv.DictReader(run.text.splitlines())
    assert [name for name in REMARKS if f"starstream_{name}" in rated] == columns
    assert rated.get("starstream_reasons", "") == "", "five stars are not below the middle"


def test_an_empty_csv_is_refused(settings: WorkerSettings, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="empty; expected a header row"):
        Run(settings, tmp_path, "")


def test_a_file_that_train_reads_is_read_here_too(settings: WorkerSettings, tmp_path: Path) -> None:
    lines = b'{"Review": "love it", "reviewId": "a"}\n\n{"Review": "bad", "reviewId": 7}\n{"Review": 3}\n'
    run = Run(settings, tmp_path, gzip.compress(lines), "in.jsonl.gz")
    assert (run.code, run.stars) == (ExitCode.INPUT, {1: 5, 2: 1})
    assert [row["review_id"] for row in run.rows.values()] == ["a", "7"]


def test_json_lines_and_plain_texts(settings: WorkerSettings, tmp_path: Path) -> None:
    lines = ['{"text": "love it", "review_id": "a"}', "worst app", "{broken", '{"content": "ok"}', ""]
    run = Run(settings, tmp_path, "\r\n".join(lines), "in.jsonl")
    assert run.code == ExitCode.INPUT
    assert run.stars == {1: 5, 4: 3}


def test_standard_input_and_output(
    settings: WorkerSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").write_text("love it\nbad\n")
    with (tmp_path / "in").open() as piped:
        monkeypatch.setattr(sys, "stdin", piped)
        assert predict(settings, PredictFiles("-", "-")) == ExitCode.OK
    out = capsys.readouterr().out
    assert [json.loads(line)["rating"] for line in out.splitlines()] == [5, 1]


def test_rows_are_streamed_in_order_past_a_chunk(settings: WorkerSettings, tmp_path: Path) -> None:
    run = Run(settings, tmp_path, "content\n" + "love\nbad\n" * 1500)
    assert list(run.rows) == list(range(1, 3001))
    assert run.stars == {number: 5 if number % 2 else 1 for number in range(1, 3001)}


@pytest.mark.parametrize("word", ["kaboom", "terrible"], ids=["refused by the runtime", "probabilities that are NaN"])
def test_a_row_the_model_cannot_rate_is_reported_like_any_other(word: str, tmp_path: Path) -> None:
    ToyRegistry(tmp_path / "models").publish(SECOND, Change(bad_terrible=True))
    settings = read_settings({"registry": str(tmp_path / "models"), "model_version": SECOND})
    run = Run(settings, tmp_path, f"content\nlove\n{word}\nbad\n")
    assert (run.code, run.stars) == (ExitCode.INPUT, {1: 5, 3: 1})


def test_a_file_that_is_not_there_and_one_that_cannot_be_written(settings: WorkerSettings, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"--input .*none.csv: No such file"):
        predict(settings, PredictFiles(str(tmp_path / "none.csv"), "-"))
    (tmp_path / "in.csv").write_text("content\nlove\n")
    with pytest.raises(SettingsError, match="--output "):
        predict(settings, PredictFiles(str(tmp_path / "in.csv"), str(tmp_path / "no" / "out.jsonl")))
