"""Word vectors: the same each time, near for words of like company, and blind to what is held out."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from schemas.encoding import FIRST_WORD_ID
from tests.model.reviews import synthetic, write_csv
from trainer.data.dataset import group, load, unlabelled
from trainer.errors import DataError
from trainer.settings import DataSettings, TextSettings
from trainer.text import word_vectors as room
from trainer.text.vocabulary import learn
from trainer.text.word_vectors import start_of_embedding, word_vectors


def _rows(texts: list[str]) -> tuple[list[npt.NDArray[np.int32]], dict[str, int]]:
    vocabulary = learn(texts, TextSettings())
    return vocabulary.encoder().encode_all(texts), vocabulary.table


TEXTS = [
    f"the {pet} eats {food} at {when}" for pet in ("cat", "dog") for food in ("fish", "meat") for when in "abc"
] + [f"my {car} drives {how} on {road}" for car in ("van", "bus") for how in ("fast", "slow") for road in "xyz"]


def test_same_texts_give_the_same_vectors() -> None:
    rows, _ = _rows(TEXTS)
    first, again = (word_vectors(rows, 40, 6) for _ in range(2))
    assert (first[0] == again[0]).all()
    assert (first[1] == again[1]).all()
    assert (start_of_embedding(rows, 40, 6, 1) == start_of_embedding(rows, 40, 6, 1)).all()


def test_words_of_like_company_are_near() -> None:
    rows, table = _rows(TEXTS)
    ids, vectors = word_vectors(rows, max(table.values()) + 1, 6)
    of = {word: vectors[ids.tolist().index(table[word])] for word in ("cat", "dog", "van", "bus")}

    def near(a: str, b: str) -> float:
        return float(of[a] @ of[b] / (np.linalg.norm(of[a]) * np.linalg.norm(of[b])))

    assert near("cat", "dog") > near("cat", "van") + 0.3
    assert near("van", "bus") > near("dog", "bus") + 0.3


def test_texts_do_not_touch_and_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, table = _rows(TEXTS)
    size = max(table.values()) + 1
    place = np.arange(size, dtype=np.int32)
    whole = room._pairs(rows, place, size).toarray()
    assert whole[table["cat"], table["eats"]] > 0
    assert whole[table["bus"], table["cat"]] == 0
    monkeypatch.setattr(room, "CHUNK_TOKENS", 7)
    assert room._pairs(rows, place, size).toarray() == pytest.approx(whole, rel=1e-5)
    assert room._pairs(rows[::-1], place, size).toarray() == pytest.approx(whole, rel=1e-5)


def test_rare_words_padding_and_unknown_start_at_random() -> None:
    rows = [np.array([1, 2, 3, 4], dtype=np.int32)] * 5 + [np.array([5], dtype=np.int32)]
    ids, _ = word_vectors(rows, 6, 4)
    assert ids.tolist() == [2, 3, 4]
    start = start_of_embedding(rows, 6, 4, seed=3)
    assert start.shape == (6, 4)
    assert np.isfinite(start).all()
    assert (start[5] == np.random.default_rng(3).normal(0, room.RANDOM_SCALE, (6, 4)).astype(np.float32)[5]).all()


def test_too_few_words_leave_a_random_start() -> None:
    start = start_of_embedding([np.array([1], dtype=np.int32)], 3, 8, seed=0)
    assert start.shape == (3, 8)


def _settings(folder: Path, texts: list[str], **more: int) -> DataSettings:
    data = write_csv(folder / "reviews.csv", synthetic(300))
    with (folder / "more.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["content"], *([text] for text in texts)])
    return DataSettings(data=[data], unlabelled=[folder / "more.csv"], **more)


def test_held_out_texts_never_enter(tmp_path: Path) -> None:
    held = load(_settings(tmp_path, ["x"]), 0)
    shouted = [text.upper() + "!!" for part in (held.validation, held.test) for text in part.texts]
    settings = _settings(tmp_path, [*shouted, "a new text", "A new: text!", *held.train.texts[:3]])
    dataset = load(settings, 0)
    found = unlabelled(settings, dataset)
    assert found == ["a new text", *held.train.texts[:3]]
    outside = {group(text) for part in (dataset.validation, dataset.test) for text in part.texts}
    assert not outside & {group(text) for text in found}


def test_unlabelled_texts_are_bounded_and_need_no_score(tmp_path: Path) -> None:
    settings = _settings(tmp_path, [f"text number {n} of many" for n in range(50)], unlabelled_rows=7)
    assert len(unlabelled(settings, load(settings, 0))) == 7
    assert unlabelled(settings.model_copy(update={"unlabelled": []}), load(settings, 0)) == []


def test_missing_unlabelled_column_says_which_exist(tmp_path: Path) -> None:
    settings = _settings(tmp_path, ["x"])
    settings.unlabelled[0].write_text("body\nhello\n")
    with pytest.raises(DataError, match="there are: body"):
        unlabelled(settings, load(settings, 0))


def test_words_of_unlabelled_texts_have_ids_behind_those_of_training() -> None:
    settings = TextSettings(unlabelled_min_count=3)
    vocabulary = learn(["good good bad"], settings, ["fine fine fine bad", "once odd odd"])
    assert vocabulary.table == {"good": FIRST_WORD_ID, "fine": FIRST_WORD_ID + 1}
    assert vocabulary.encoder().encode("fine").tolist() == vocabulary.reference.encode("fine")
    assert vocabulary.encoder().encode("once bad").tolist() == vocabulary.reference.encode("once bad")


@pytest.mark.parametrize(("words", "expected"), [(5, 64), (90, 96), (300, 320), (5000, 1024)])
def test_ninety_nine_texts_in_a_hundred_fit_whole(words: int, expected: int) -> None:
    texts = ["word " * words] * 10
    assert learn(texts, TextSettings()).settings.max_tokens == expected
    assert learn(texts, TextSettings(max_tokens=77)).settings.max_tokens == 77
