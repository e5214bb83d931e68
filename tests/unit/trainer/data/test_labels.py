"""Rows of named labels: how they are written, which are bad, and on which side of the split they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from trainer.data.dataset import load
from trainer.data.rows import BadRow, RowRules, read_rows
from trainer.data.split import TEST, TRAIN, VALIDATION, assign, group
from trainer.data.targets import matrix, said
from trainer.errors import DataError
from trainer.settings import DataSettings

RULES = DataSettings(data=[Path("any")], task="labels")


def rows(path: Path, **rules: Any) -> list[Any]:
    paths = RULES.label_paths
    found = read_rows(path, RowRules(paths, task="labels", **rules))
    return [str(row) if isinstance(row, BadRow) else row.label for row in found]


def test_names_are_joined_by_a_bar_sorted_and_each_once(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('text,labels\na,joy\nb, love | joy|joy \nc,""\nd,fun: 1\n', encoding="utf-8")
    *good, bad = rows(path)
    assert good == [("joy",), ("joy", "love"), ()]
    assert "label 'fun: 1': expected at most 64 characters" in bad


def test_an_object_has_a_list_or_a_text_and_without_either_it_is_bad(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines: list[dict[str, Any]] = [{"text": "a", "labels": ["love", "joy"]}, {"text": "b", "labels": "joy"}]
    lines += [{"text": "c", "labels": []}, {"text": "d"}, {"text": "e", "labels": None}]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    found = rows(path)
    assert found[:3] == [("joy", "love"), ("joy",), ()]
    assert all("a text without any has an empty cell" in bad for bad in found[3:])


def test_a_column_a_label_has_yes_or_no(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,threat,insult\na,1,0\nb,1.0,True\nc,,no\nd,2,0\n", encoding="utf-8")
    *good, bad = rows(path, label_columns=("threat", "insult"))
    assert good == [("threat",), ("insult", "threat"), ()]
    assert "threat '2': expected 1 or 0" in bad
    with pytest.raises(DataError, match="--label-columns obscene: no such column; there are: text, threat, insult"):
        rows(path, label_columns=("obscene",))


def test_a_file_without_a_column_of_labels_is_refused_by_the_flag(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,emotion\na,joy\n", encoding="utf-8")
    with pytest.raises(DataError, match="--labels-field"):
        rows(path)


def write(path: Path, count: int) -> Path:
    lines = [
        f"text {number},{'joy' if number % 2 else 'joy|love'}{'|rare' if number < 5 else ''}" for number in range(count)
    ]
    path.write_text("\n".join(["text,labels", *lines]), encoding="utf-8")
    return path


def test_rare_names_are_left_out_and_their_texts_stay(tmp_path: Path) -> None:
    found = load(DataSettings(data=[write(tmp_path / "a.csv", 200)], task="labels"), 0)
    assert found.labels == ["joy", "love"]
    assert found.rare == {"rare": 5}
    assert sum(len(found.part(side)) for side in ("train", "validation", "test")) == 200
    assert found.train.targets.dtype == np.bool_
    assert found.train.targets[:, 0].all()
    assert found.fingerprint.label_counts == {"joy": 200, "love": 100, "rare": 5}


def test_only_named_labels_are_learned_and_others_are_bad_rows(tmp_path: Path) -> None:
    settings = DataSettings(data=[write(tmp_path / "a.csv", 200)], task="labels", labels=["joy", "love"])
    found = load(settings, 0)
    assert (found.labels, found.bad_count) == (["joy", "love"], 5)
    assert "'rare' is none of the labels joy, love" in str(found.bad[0])


def test_every_label_is_on_every_side_though_a_text_has_several() -> None:
    labels = [("common", "rare") if number % 100 == 0 else ("common",) for number in range(400)]
    groups = np.array([group(f"text {number}") for number in range(400)], dtype=np.uint64)
    for seed in range(20):
        sides = assign(groups, seed, 0.1, 0.1, labels)
        rare = sides[[number for number in range(400) if number % 100 == 0]]
        assert {TRAIN, VALIDATION, TEST} <= {*rare.tolist()}


def test_targets_are_a_matrix_or_indices_and_read_back() -> None:
    marks = np.array([[True, False], [True, True], [False, False]])
    assert matrix(marks, 2).tolist() == [[1, 0], [1, 1], [0, 0]]
    assert matrix(np.array([1, 0]), 2).tolist() == [[0, 1], [1, 0]]
    assert said(marks, ["joy", "love"]) == ["joy", "joy|love", ""]
    assert said(np.array([1, 0]), [1, 5]) == [5, 1]


@pytest.mark.parametrize(
    ("flags", "fault"),
    [
        ({"labels_field": "emotions"}, "need --task labels"),
        ({"label_columns": ["threat"]}, "need --task labels"),
        ({"task": "labels", "score_field": "stars"}, "--task labels has --labels-field instead"),
        ({"labels": ["joy"]}, "takes whole numbers, or --task labels"),
    ],
)
def test_flags_of_the_other_task_are_refused(flags: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        DataSettings.model_validate({"data": [Path("any")], **flags})
