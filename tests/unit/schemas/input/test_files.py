"""Reviews in files: every format gives its rows, and a row or file that cannot be read is named, with what to do."""

from __future__ import annotations

import codecs
import gzip
import json
import os
from pathlib import Path

import pytest
import zstandard
from pyarrow import parquet, table

from schemas.input.fields import FieldFinder
from schemas.input.files import read_rows, require_field
from schemas.input.text_files import FileError, FileOptions
from schemas.input.value import InvalidReviewError


def _write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    data = content.encode() if isinstance(content, str) else content
    if path.suffix.lower() == ".zst":
        data = zstandard.compress(data)
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst", ".ZST"])
@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("a.csv", 'text,stars\n"one, ""two""\nthree",5\n\nplain,\n', [('one, "two"\nthree', "5"), ("plain", "")]),
        ("a.csv", b"\xef\xbb\xbftext,stars\nfine,3\n", [("fine", "3")]),
        ("a.tsv", "text\tstars\ngood, really\t4\n", [("good, really", "4")]),
        (
            "a.jsonl",
            '{"text": "fine", "stars": 3}\n\n{"text": "caf\\u00e9", "stars": "4"}\n',
            [("fine", 3), ("café", "4")],
        ),
        ("a.ndjson", '{"text": "fine", "stars": 3}\n', [("fine", 3)]),
        ("A.CSV", "text,stars\nfine,3\n", [("fine", "3")]),
        ("a.csv", 'sep=;\ntext;stars\n"so; so";3\n', [("so; so", "3")]),
        ("a.csv", "text;stars\n“smart, quotes”;3\n", [("“smart, quotes”", "3")]),
        ("a.csv", "text|stars\nfine|3\n", [("fine", "3")]),
        ("a.csv", "text;stars\r\ngrüße;3\r\n".encode("utf-16"), [("grüße", "3")]),
        ("a.csv", codecs.BOM_UTF16_BE + "text\tstars\nfine\t3\n".encode("utf-16-be"), [("fine", "3")]),
        ("a.json", '[\n  {\n    "text": "fine",\n    "stars": 3\n  }\n]\n', [("fine", 3)]),
        ("a.json", '{"text": "fine", "stars": 3}\n{"text": "so", "stars": 2}', [("fine", 3), ("so", 2)]),
        ("a.json", '{\n "data": [{"text": "fine", "stars": 3}],\n "links": {"next": "x"}}', [("fine", 3)]),
        ("a.jsonl", '[{"text": "fine", "stars": 3},\n{"text": "so", "stars": 2}]', [("fine", 3), ("so", 2)]),
    ],
)
def test_every_format_gives_its_rows(
    tmp_path: Path, name: str, suffix: str, content: str | bytes, rows: list[tuple[str, object]]
) -> None:
    found = list(read_rows(_write(tmp_path, name + suffix, content)))
    assert [(row.cells["text"], row.cells["stars"]) for row in found] == rows
    assert [row.number for row in found] == list(range(1, len(rows) + 1)), "blank lines are not rows"
    assert {row.fault for row in found} == {""}


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.csv", 'text\n"two\nlines"\nfine,3\n', "more cells than columns"),
        ("a.csv", 'text\n"two\nlines"\n"love" it\n', "expected after"),
        ("a.jsonl", '{"text": "fine"}\n\n\n{\n', "not JSON"),
        ("a.jsonl", '{"text": "fine"}\n\n\n' + "[" * 100_000 + "\n", "not JSON"),
        ("a.jsonl", '{"text": "fine"}\n\n\n[1]\n', "a JSON array, expected an object"),
        ("a.jsonl", '{"text": "fine"}\n\n\nnull\n', "the JSON value null, expected an object"),
    ],
)
def test_row_that_cannot_be_read_is_named_by_number_and_line(
    tmp_path: Path, name: str, content: str, fault: str
) -> None:
    fine, bad = read_rows(_write(tmp_path, name, content))
    assert (fine.fault, bad.where) == ("", "row 2 (line 4)")
    assert fault in bad.fault


STRINGS = r"""
"just words"
"{\"text\": \"twice\", \"reviewId\": \"r\"}"
{"text": "plain"}
"{ half"
"""


def test_json_strings_are_read_as_in_kafka(tmp_path: Path) -> None:
    rows = [*read_rows(_write(tmp_path, "a.jsonl", STRINGS))]
    assert [row.cells.get("text") for row in rows] == ["just words", "twice", "plain", None]
    assert rows[1].cells["reviewId"] == "r"
    assert "begins like an object, but is not JSON" in rows[3].fault
    listed = read_rows(_write(tmp_path, "b.json", '["love it", {"text": "bad"}]'))
    assert [row.cells["text"] for row in listed] == ["love it", "bad"]


def test_a_line_of_standard_input_is_read_as_a_value_in_kafka(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = 'love it\n"unwrapped"\n[deleted] fine\n5\n"half\n[1]\nnull\n<a>x</a>\n'
    with _write(tmp_path, "lines", lines).open() as file:
        monkeypatch.setattr("sys.stdin", file)
        rows = [*read_rows("-")]
    texts = [row.cells.get("text") for row in rows]
    assert texts == ["love it", "unwrapped", "[deleted] fine", "5", '"half', None, None, None]
    kinds = ["a JSON array", "the JSON value null", "an XML document"]
    assert [row.fault.startswith(kind) for row, kind in zip(rows[5:], kinds, strict=True)] == [True] * 3


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (
            "a.csv",
            b"text\ncaf\xe9\n",
            "text: not UTF-8 at character 3; name the file's encoding: --encoding cp1252",
        ),
        ("a.jsonl", b'{"text": "\\ud800"}\n', "text: not UTF-8 at character 0"),
        ("a.jsonl", b'{"text": 3}\n', "text: a number, expected a string"),
        ("a.jsonl", b'{"words": "fine"}\n', "the fields are: words; name its field with --text-field"),
    ],
)
def test_cell_that_is_no_text_says_why(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (row,) = read_rows(_write(tmp_path, name, content))
    with pytest.raises(InvalidReviewError) as caught:
        row.review(FieldFinder())
    assert reason in str(caught.value)


HALF = gzip.compress(b"text\n" + b"fine\n" * 1000, mtime=0)  # the time would be in the name of the test


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", b"", "empty; expected a header row"),
        ("a.jsonl", b"", "empty; expected one JSON object a line"),
        ("a.csv.gz", gzip.compress(b"", mtime=0), "empty; expected a header row"),
        (
            "a.csv",
            "text\nfine\n".encode("utf-16-le"),
            "UTF-16 without a byte order mark; name it: --encoding utf-16-le",
        ),
        ("a.csv", b"\xff\xfet", "not utf-16: .* name another --encoding"),
        ("a.xlsx", b"", "unknown format '.xlsx'; expected .csv, .tsv, .jsonl, .ndjson, .json, .parquet, each also as"),
        ("a.csv", b'[{"text": "fine"}]', "begins like JSON .*; name it .json"),
        ("a.txt", b"fine", "to rate each line of another text file, send it to standard input"),
        ("a.json", b"[1, 2", "not JSON: Expecting"),
        ("a.json", b"[" * 100_000, "not JSON: maximum recursion"),
        ("a.json", b"[]", "an empty array"),
        ("a.json.zst", b"[]", "not a Zstandard file"),
        ("a.parquet", b"text", "not a Parquet file"),
        (
            "a.csv",
            b'text,stars\nfine,3\n"open,4\nnext,5\n',
            "line 3: a quotation mark is opened and not closed",
        ),
        ("a.csv.gz", b"text\nfine\n", "not a gzip file"),
        ("a.csv.gz", HALF[: len(HALF) // 2], "ends too early"),
        ("missing.csv", None, "No such file"),
    ],
)
def test_file_that_cannot_be_read_is_named_with_the_reason(
    tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError, match=f"{name}: .*{reason}"):
        list(read_rows(tmp_path / name))


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"text": "a", "review_id": "\ud800"}, "review_id: not UTF-8 at character 0"),
        ({"text": "a \ud800"}, "text: not UTF-8 at character 2; it is half of a surrogate pair; remove it"),
        ({"text": "a", "app_id": "\udc00", "created_at": "\udc00", "app_version": "\udc00"}, None),
        ({"text": "a", "created_at": "9" * 300, "score": 10**300}, None),
    ],
)
def test_half_a_surrogate_pair_gets_no_further(tmp_path: Path, row: dict[str, str], fault: str | None) -> None:
    (found,) = read_rows(_write(tmp_path, "a.jsonl", json.dumps(row)))
    if fault:
        with pytest.raises(InvalidReviewError, match=fault):
            found.review(FieldFinder())
    else:
        review = found.review(FieldFinder())
        assert (review.app_id, review.created_at, review.app_version) == (None, None, None)
        assert set(review.ignored) == {*row} - {"text", "score"}


def test_utf_32_is_told_by_its_mark_and_names_of_columns_are_printable_and_few(tmp_path: Path) -> None:
    (row,) = read_rows(_write(tmp_path, "a.csv", "text;id\ngood;1\n".encode("utf-32")))
    assert row.cells == {"text": "good", "id": "1"}
    with pytest.raises(FileError) as error:
        require_field(["\x1b[31m" + "x" * 100, *map(str, range(90))], FieldFinder(), "text", "--text-field")
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 400


def test_encoding_and_delimiter_are_those_that_were_asked_for(tmp_path: Path) -> None:
    path = _write(tmp_path, "a.csv", "text:stars;x\ncafé…:3\n".encode("cp1252"))
    (row,) = read_rows(path, FileOptions("cp1252", ":"))
    assert row.cells == {"text": "café…", "stars;x": "3"}


@pytest.mark.parametrize(
    ("encoding", "delimiter", "fault"),
    [
        ("klingon", None, "encoding 'klingon': unknown; expected utf-8"),
        (None, ";;", "delimiter ';;': expected one char"),
    ],
)
def test_unknown_encoding_or_delimiter_is_refused(encoding: str | None, delimiter: str | None, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        FileOptions(encoding, delimiter)


def test_parquet_gives_its_rows_with_their_types(tmp_path: Path) -> None:
    rows = {"text": [f"text {number}" for number in range(1500)], "stars": [3] * 1500}
    parquet.write_table(table(rows), tmp_path / "a.parquet")
    found = list(read_rows(tmp_path / "a.parquet"))
    assert [row.cells["text"] for row in found] == rows["text"]
    assert (found[-1].cells["stars"], found[-1].where) == (3, "row 1500")


PAGE = {"data": [{"text": "good"}, {"text": "bad"}], "links": {"self": "x"}, "total": 2, "next": "abc"}


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (json.dumps(PAGE), ["good", "bad"]),
        (json.dumps(PAGE, indent=1), ["good", "bad"]),
        ("\n" + json.dumps(PAGE) + "\n\n", ["good", "bad"]),
        (json.dumps({"links": [{"rel": "next"}], "reviews": PAGE["data"], "included": [{"id": 1}]}), ["good", "bad"]),
        (json.dumps({"text": "so good", "replies": [{"text": "thanks"}]}), ["so good"]),
        (json.dumps({"text": "so good", "replies": [{"text": "thanks"}]}, indent=1), ["so good"]),
        ('\n{"text": "one"}\n\n{"text": "two"}\n', ["one", "two"]),
    ],
)
def test_an_apis_page_is_its_reviews_on_one_line_or_many(tmp_path: Path, content: str, texts: list[str]) -> None:
    assert [row.cells.get("text") for row in read_rows(_write(tmp_path, "a.json", content))] == texts


def test_no_column_of_a_parquet_file_hides_another(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(table([["good"], ["other"], [1]], names=["text", "text", "id"]), path)
    (row,) = read_rows(path)
    assert row.cells == {"text": "good", "text (2)": "other", "id": 1}


def test_a_shop_page_and_a_text_line_on_standard_input_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = {
        "[so so] good\nbad\n": ["[so so] good", "bad"],
        '[\n{"text": "a"}]': ["a"],
        json.dumps(PAGE): ["good", "bad"],
    }
    for content, texts in cases.items():
        path = _write(tmp_path, "in", content)
        with path.open("rb") as file:
            monkeypatch.setattr("sys.stdin", file)
            assert [row.cells["text"] for row in read_rows("-")] == texts


@pytest.mark.parametrize("line", ['{"text": "fine"}', "fine"])
def test_the_first_line_of_a_pipe_is_there_before_the_second_comes(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader) as stdin, os.fdopen(writer, "w") as feed:
        monkeypatch.setattr("sys.stdin", stdin)
        rows = read_rows("-")
        for number in (1, 2):
            feed.write(f"{line}\n")
            feed.flush()
            assert next(rows).cells == {"text": "fine"}, number


def test_a_first_review_that_could_be_a_page_costs_no_row(tmp_path: Path) -> None:
    content = '{"app": "x", "replies": [{"text": "a"}]}\n\n{"text": "b"}\n{"text": "c"}\n'
    assert [row.line for row in read_rows(_write(tmp_path, "a.jsonl", content))] == [1, 3, 4]


def test_a_table_on_standard_input_is_refused_instead_of_rated_as_prose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for first, is_table in {"review_id;Text;stars": True, "text\tscore": True, "content, really good": False}.items():
        with _write(tmp_path, "in", f"{first}\nfine\n").open("rb") as file:
            monkeypatch.setattr("sys.stdin", file)
            if is_table:
                with pytest.raises(FileError, match="begins with a CSV's header; save it as a file"):
                    next(read_rows("-"))
            else:
                assert [row.cells["text"] for row in read_rows("-")] == [first, "fine"]


def test_a_table_named_json_is_refused_and_a_long_line_is_none(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"begins with a CSV's header; name it \.csv"):
        next(read_rows(_write(tmp_path, "a.json", "text,score\nfine,3\n")))
    text = "a,b " * 500_000
    assert next(read_rows(_write(tmp_path, "a.jsonl", json.dumps({"text": text})))).cells == {"text": text}
