"""Reviews in files: every format gives its rows, and a row or file that cannot be read is named, with what to do."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from schemas.input.fields import FieldFinder
from schemas.input.files import FileError, read_rows
from schemas.input.value import InvalidReviewError


def _write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("suffix", ["", ".gz"])
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
        ("a.jsonl", '{"text": "fine"}\n\n\n[1]\n', "a JSON list, expected an object"),
    ],
)
def test_row_that_cannot_be_read_is_named_by_number_and_line(
    tmp_path: Path, name: str, content: str, fault: str
) -> None:
    fine, bad = read_rows(_write(tmp_path, name, content))
    assert (fine.fault, bad.where) == ("", "row 2 (line 4)")
    assert fault in bad.fault


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (
            "a.csv",
            b"text\ncaf\xe9\n",
            "text: not UTF-8 at character 3; if the file is Latin-1: iconv -f latin1 -t utf-8",
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


HALF = gzip.compress(b"text\n" + b"fine\n" * 1000)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", b"", "empty; expected a header row"),
        ("a.jsonl", b"", "empty; expected one JSON object a line"),
        ("a.csv.gz", gzip.compress(b""), "empty; expected a header row"),
        ("a.csv", "text\nfine\n".encode("utf-16"), "UTF-16; convert it"),
        ("a.xlsx", b"", "unknown format '.xlsx'"),
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
