from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from trainer.data.rows import BadRow, Row, RowRules, read_rows
from trainer.errors import DataError

ANY = RowRules()


def _write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def _reasons(path: Path, rules: RowRules = ANY) -> list[str]:
    return [str(row) for row in read_rows(path, rules) if isinstance(row, BadRow)]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_csv_gives_rows_with_quotes_newlines_and_commas(tmp_path: Path, name: str) -> None:
    path = _write(tmp_path, name, 'content,score\n"one, ""two""\nthree",5\n\nplain,1.0\n')
    assert list(read_rows(path)) == [Row('one, "two"\nthree', 5), Row("plain", 1)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.ndjson"])
def test_json_lines_give_rows(tmp_path: Path, name: str) -> None:
    path = _write(tmp_path, name, '{"text": "fine", "stars": 3}\n\n{"text": "caf\\u00e9", "stars": "4"}\n')
    assert list(read_rows(path)) == [Row("fine", 3), Row("café", 4)]


def test_tabs_separate_in_tsv(tmp_path: Path) -> None:
    assert list(read_rows(_write(tmp_path, "a.tsv", "review\trating\ngood, really\t4\n"))) == [Row("good, really", 4)]


@pytest.mark.parametrize("text", ["content", "text", "review", "Review", " Content "])
@pytest.mark.parametrize("score", ["score", "rating", "stars", "label", "LABEL"])
def test_usual_columns_are_found(tmp_path: Path, text: str, score: str) -> None:
    path = _write(tmp_path, "a.csv", f"id,{score},{text}\n7,2,meh\n")
    assert list(read_rows(path)) == [Row("meh", 2)]


def test_named_columns_win(tmp_path: Path) -> None:
    path = _write(tmp_path, "a.csv", "content,score,body,value\nno,1,yes,5\n")
    assert list(read_rows(path, RowRules("body", "value"))) == [Row("yes", 5)]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (RowRules(), "none of the columns content, text, review; there are: body, value; name one with --text-column"),
        (RowRules("words"), "no column 'words' (--text-column); there are: body, value"),
        (RowRules("body"), "none of the columns score, rating, stars, label; there are: body, value"),
    ],
)
def test_missing_column_says_which_exist(tmp_path: Path, rules: RowRules, expected: str) -> None:
    for name, content in (("a.csv", "body,value\nx,1\n"), ("a.jsonl", '{"body": "x", "value": 1}\n')):
        with pytest.raises(DataError) as caught:
            list(read_rows(_write(tmp_path, name, content), rules))
        assert expected in str(caught.value)
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ("  ,5", "text: empty or blank"),
        ("good,", "score '' is not a whole number"),
        ("good,five", "score 'five' is not a whole number"),
        ("good,4.5", "score '4.5' is not a whole number"),
        ("good,nan", "score 'nan' is not a whole number"),
        ("good,inf", "score 'inf' is not a whole number"),
        ("good", "no 'score'"),
        ("a\0b,5", "text: contains a null byte"),
        ("x" * 20_001 + ",5", "text: 20001 characters, over the limit"),
    ],
)
def test_bad_csv_row_is_named_by_number_and_line(tmp_path: Path, cells: str, reason: str) -> None:
    path = _write(tmp_path, "a.csv", f'content,score\n"two\nlines",5\n{cells}\nfine,3\n')
    found = list(read_rows(path))
    assert [row for row in found if isinstance(row, Row)] == [Row("two\nlines", 5), Row("fine", 3)]
    (bad,) = _reasons(path)
    assert bad.startswith("a.csv: row 2 (line 4): ")
    assert reason in bad


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON"),
        ("[1]", "a JSON list, expected an object"),
        ('{"score": 1}', "no 'content'"),
        ('{"content": 3, "score": 1}', "content: int, expected a string"),
        ('{"content": "a", "score": true}', "score True is not a whole number"),
        ('{"content": "a", "score": null}', "score None is not a whole number"),
        ('{"content": "\\ud800", "score": 1}', "content: not UTF-8 at character 0"),
    ],
)
def test_bad_json_row_is_named(tmp_path: Path, line: str, reason: str) -> None:
    path = _write(tmp_path, "a.jsonl", f'{{"content": "fine", "score": 3}}\n\n{line}\n')
    (bad,) = _reasons(path)
    assert bad.startswith("a.jsonl: row 2 (line 3): ")
    assert reason in bad


def test_wrong_encoding_names_file_row_and_remedy(tmp_path: Path) -> None:
    path = _write(tmp_path, "a.csv", "content,score\nfine,3\ncafé,4\n".encode("latin-1"))
    assert _reasons(path) == [
        "a.csv: row 2 (line 3): content: not UTF-8 at character 3; if the file is Latin-1: iconv -f latin1 -t utf-8"
    ]


def test_utf16_is_refused_by_name_and_utf8_mark_is_not_part_of_the_header(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="UTF-16"):
        list(read_rows(_write(tmp_path, "a.csv", "content,score\nfine,3\n".encode("utf-16"))))
    assert list(read_rows(_write(tmp_path, "b.csv", b"\xef\xbb\xbfcontent,score\nfine,3\n"))) == [Row("fine", 3)]


def test_label_outside_the_set_is_bad(tmp_path: Path) -> None:
    path = _write(tmp_path, "a.csv", "content,score\nfine,3\nodd,11\n")
    assert _reasons(path, RowRules(labels=frozenset({3, 4}))) == [
        "a.csv: row 2 (line 3): score 11 is none of the labels 3, 4"
    ]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.csv.gz"])
def test_empty_file_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="empty; expected"):
        list(read_rows(_write(tmp_path, name, "")))


def test_open_quotation_mark_is_an_error_not_one_giant_row(tmp_path: Path) -> None:
    path = _write(tmp_path, "a.csv", 'content,score\n"fine,3\n' + "more text,4\n" * 20_000)
    with pytest.raises(DataError, match=r"row 1 \(.*quotation mark"):
        list(read_rows(path))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.xlsx", b"", "unknown format '.xlsx'"),
        ("missing.csv", None, "No such file"),
    ],
)
def test_unreadable_file_is_a_data_error(tmp_path: Path, name: str, content: bytes | None, reason: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=reason):
        list(read_rows(tmp_path / name))


def test_broken_gzip_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(b"content,score\n")
    with pytest.raises(DataError, match="not a gzip file"):
        list(read_rows(tmp_path / "a.csv.gz"))
    whole = gzip.compress(b"content,score\n" + b"fine,3\n" * 1000)
    (tmp_path / "b.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="ends too early"):
        list(read_rows(tmp_path / "b.csv.gz"))
