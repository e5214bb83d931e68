"""Which rows can be trained on; tests/unit/schemas/input has the formats, faults and fields."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.input.fields import FieldPaths
from trainer.data.rows import BadRow, Row, RowRules, read_rows
from trainer.errors import DataError


def _write(folder: Path, content: str, name: str = "a.csv") -> Path:
    (folder / name).write_text(content, encoding="utf-8")
    return folder / name


NAMED = RowRules(FieldPaths(text="words", score="value"))


@pytest.mark.parametrize(("text", "rules"), [("content", RowRules()), ("text", RowRules()), ("words", NAMED)])
@pytest.mark.parametrize("score", ["score", "rating", "stars", "label", "LABEL"])
def test_usual_columns_are_found_and_named_ones_win(tmp_path: Path, text: str, score: str, rules: RowRules) -> None:
    path = _write(tmp_path, f"id,value,{score},{text}\n7,2,2,meh\n")
    assert list(read_rows(path, rules)) == [Row("meh", 2)]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (
            RowRules(FieldPaths(text="a, b")),
            "none of the columns a, b; there are: body, value; name one with --text-field",
        ),
        (
            RowRules(),
            "none of the columns score, rating, stars, label; there are: body, value; name one with --score-field",
        ),
    ],
)
def test_missing_column_says_which_exist(tmp_path: Path, rules: RowRules, expected: str) -> None:
    for name, content in (("a.csv", "body,value\nx,1\n"), ("a.jsonl", '{"body": "x", "value": 1}\n')):
        with pytest.raises(DataError) as caught:
            list(read_rows(_write(tmp_path, content, name), rules))
        assert expected in str(caught.value)
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ("  ,5", "text: empty or blank"),
        ("good,", "no score in score, rating, stars, label"),
        ("good,five", "score 'five' is not a whole number"),
        ("good,4.5", "score '4.5' is not a whole number"),
        ("good,nan", "score 'nan' is not a whole number"),
        ("good,inf", "score 'inf' is not a whole number"),
        ("good,11", "score 11 is none of the labels 3, 5"),
        ("good", "no score in score, rating, stars, label"),
        ("good,5,more", "more cells than columns"),
        ("a\0b,5", "text: contains a null byte"),
        ("x" * 20_001 + ",5", "text: 20001 characters, over the limit"),
    ],
)
def test_bad_csv_row_is_named_and_the_others_are_read(tmp_path: Path, cells: str, reason: str) -> None:
    path = _write(tmp_path, f'content,score\n"two\nlines",5\n{cells}\nfine,3.0\n')
    first, bad, last = read_rows(path, RowRules(labels=frozenset({3, 5})))
    assert (first, last) == (Row("two\nlines", 5), Row("fine", 3))
    assert isinstance(bad, BadRow)
    assert str(bad).startswith("a.csv: row 2 (line 4): ")
    assert reason in str(bad)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"content": 3, "score": 1}', "text: a number, expected a string"),
        ('{"content": "a", "score": true}', "score True is not a whole number"),
        ('{"content": "a", "score": null}', "no score in score, rating, stars, label"),
    ],
)
def test_bad_json_row_is_named(tmp_path: Path, line: str, reason: str) -> None:
    (bad,) = read_rows(_write(tmp_path, f"\n{line}\n", "a.jsonl"))
    assert str(bad) == f"a.jsonl: row 1 (line 2): {reason}"
