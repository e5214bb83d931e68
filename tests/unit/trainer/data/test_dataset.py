from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.model.reviews import synthetic, write_csv
from trainer.data.dataset import load, read, unlabelled
from trainer.data.split import fold, group
from trainer.errors import DataError
from trainer.settings import DataSettings


def _settings(*paths: Path, **more: object) -> DataSettings:
    return DataSettings.model_validate({"data": list(paths), **more})


def test_sides_cover_every_row_once_and_labels_are_data(tmp_path: Path) -> None:
    rows = synthetic(200, labels=(1, 5))
    dataset = load(_settings(write_csv(tmp_path / "a.csv", rows)), seed=3)
    assert dataset.labels == [1, 5]
    sides = [dataset.part(side) for side in ("train", "validation", "test")]
    found = [(text, dataset.labels[at]) for side in sides for text, at in zip(side.texts, side.targets, strict=True)]
    assert sorted(found) == sorted(rows)
    sizes = dataset.fingerprint
    assert (sizes.train_rows, sizes.validation_rows, sizes.test_rows) == tuple(map(len, sides))
    assert sizes.label_counts == {"1": 100, "5": 100}


def test_official_test_set_is_used_whole_and_removed_from_training(tmp_path: Path) -> None:
    rows = synthetic(200)
    official = [(text.upper() + "!!", label) for text, label in rows[:20]]
    settings = _settings(write_csv(tmp_path / "a.csv", rows), test_data=[write_csv(tmp_path / "t.csv", official)])
    dataset = load(settings, seed=0)
    assert sorted(dataset.test.texts) == sorted(text for text, _ in official)
    assert dataset.dropped == 20
    left = {fold(text) for side in ("train", "validation") for text in dataset.part(side).texts}
    assert left.isdisjoint(map(fold, dataset.test.texts))
    assert len(left) == 180


def test_official_test_set_with_a_new_label_is_refused(tmp_path: Path) -> None:
    settings = _settings(
        write_csv(tmp_path / "a.csv", synthetic(200)), test_data=[write_csv(tmp_path / "t.csv", [("odd", 9)] * 20)]
    )
    with pytest.raises(DataError, match="--test-data has the label 9"):
        load(settings, seed=0)


def test_bad_rows_are_skipped_and_reported(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", synthetic(300))
    with path.open("a") as file:
        file.write(",5\ngood,nine\n")
    dataset = load(_settings(path), seed=0)
    assert dataset.bad_count == 2
    assert [str(row) for row in dataset.bad] == [
        "a.csv: row 301 (line 302): text: empty or blank; a review needs words",
        "a.csv: row 302 (line 303): score 'nine' is not a whole number",
    ]


def test_bad_row_can_be_an_error(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [*synthetic(60), ("", 5)])
    with pytest.raises(DataError, match=r"row 61 .*text: empty or blank; a review needs words; correct it"):
        read(_settings(path, on_bad_row="error"))


def test_too_many_bad_rows_are_an_error(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [*synthetic(90), *[("", 5)] * 10])
    with pytest.raises(DataError, match=r"10 of 100 rows are bad, more than --max-bad-share 0.05.*row 91"):
        read(_settings(path))
    assert read(_settings(path, max_bad_share=0.1)).bad_count == 10


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "0 usable rows; training needs at least 50"),
        (synthetic(10), "10 usable rows; training needs at least 50"),
        (synthetic(100, labels=(5,)), "every row has the score 5; training needs at least two"),
        ([*synthetic(100), ("odd one", 11)], "only 1 rows have the score 11.*is it out of range"),
        ([("yes", 1), ("no", 0)] * 50, "no rows for|no rows are left"),
    ],
)
def test_unusable_data_is_refused(tmp_path: Path, rows: list[tuple[str, int]], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        load(_settings(write_csv(tmp_path / "a.csv", rows)), seed=0)


def test_duplicates_are_counted_and_kept(tmp_path: Path) -> None:
    rows = [*synthetic(100), ("good", 5), ("Good!", 4), ("GOOD", 5)]
    dataset = load(_settings(write_csv(tmp_path / "a.csv", rows)), seed=0)
    assert dataset.fingerprint.rows == 103
    assert dataset.fingerprint.duplicate_rows == 2


def _unlabelled_settings(folder: Path, texts: list[str], **more: int) -> DataSettings:
    data = write_csv(folder / "reviews.csv", synthetic(300))
    with (folder / "more.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["content"], *([text] for text in texts)])
    return DataSettings(data=[data], unlabelled=[folder / "more.csv"], **more)


def test_held_out_texts_are_removed_from_the_unlabelled(tmp_path: Path) -> None:
    held = load(_unlabelled_settings(tmp_path, ["x"]), 0)
    shouted = [text.upper() + "!!" for part in (held.validation, held.test) for text in part.texts]
    settings = _unlabelled_settings(tmp_path, [*shouted, "a new text", "A new: text!", *held.train.texts[:3]])
    dataset = load(settings, 0)
    found = unlabelled(settings, dataset)
    assert found == ["a new text", *held.train.texts[:3]]
    outside = {group(text) for part in (dataset.validation, dataset.test) for text in part.texts}
    assert not outside & {group(text) for text in found}


def test_unlabelled_texts_are_bounded_and_need_no_score(tmp_path: Path) -> None:
    settings = _unlabelled_settings(tmp_path, [f"text number {n} of many" for n in range(50)], unlabelled_rows=7)
    assert len(unlabelled(settings, load(settings, 0))) == 7
    assert unlabelled(settings.model_copy(update={"unlabelled": []}), load(settings, 0)) == []


def test_groups_are_found_by_themselves_or_by_their_column(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("content", "score", "app_id", "shop"))
        writer.writerows((f"text {number}", 1 + 4 * (number % 2), "maps", f"s{number % 3}") for number in range(90))
    dataset = load(_settings(path), seed=0)
    assert {*dataset.train.groups} == {"maps"}
    by_shop = load(_settings(path, group_column="shop"), seed=0)
    found = {text: shop for side in ("train", "test") for text, shop in zip(
        by_shop.part(side).texts, by_shop.part(side).groups, strict=True
    )}  # fmt: skip
    assert all(shop == f"s{int(text.split()[1]) % 3}" for text, shop in found.items())


def test_reviews_without_a_group_have_an_empty_one(tmp_path: Path) -> None:
    dataset = load(_settings(write_csv(tmp_path / "a.csv", synthetic(200))), seed=0)
    assert {*dataset.train.groups} == {""}
