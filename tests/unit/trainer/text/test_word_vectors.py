"""Word vectors: close for words with similar neighbours, and at random for the others."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from trainer.settings import TextSettings
from trainer.text import word_vectors as word_vectors_module
from trainer.text.vocabulary import learn
from trainer.text.word_vectors import start_of_embedding, word_vectors


def _rows(texts: list[str]) -> tuple[list[npt.NDArray[np.int32]], dict[str, int]]:
    vocabulary = learn(texts, TextSettings())
    return [*vocabulary.encoder().encode_all(texts)], vocabulary.table


TEXTS = [
    f"the {pet} eats {food} at {when}" for pet in ("cat", "dog") for food in ("fish", "meat") for when in "abc"
] + [f"my {car} drives {how} on {road}" for car in ("van", "bus") for how in ("fast", "slow") for road in "xyz"]


def test_words_with_similar_neighbours_are_close() -> None:
    rows, table = _rows(TEXTS)
    ids, vectors = word_vectors(rows, max(table.values()) + 1, 6)
    of = {word: vectors[ids.tolist().index(table[word])] for word in ("cat", "dog", "van", "bus")}

    def similarity(a: str, b: str) -> float:
        return float(of[a] @ of[b] / (np.linalg.norm(of[a]) * np.linalg.norm(of[b])))

    assert similarity("cat", "dog") > similarity("cat", "van") + 0.3
    assert similarity("van", "bus") > similarity("dog", "bus") + 0.3


def test_chunks_and_the_order_of_texts_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, table = _rows(TEXTS)
    size = max(table.values()) + 1
    whole = _similarities(rows, size)
    monkeypatch.setattr(word_vectors_module, "CHUNK_TOKENS", 7)
    for same in (rows, rows[::-1]):
        assert _similarities(same, size) == pytest.approx(whole, rel=1e-2, abs=1e-2)


def test_neighbours_are_within_a_text() -> None:
    texts = [np.array([2, 3], dtype=np.int32), np.array([4, 5], dtype=np.int32)] * 10
    assert _similarities(texts, 6)[0, 2] == pytest.approx(0, abs=1e-3)
    assert abs(_similarities([np.concatenate(texts)], 6)[0, 2]) > 0.1


def _similarities(rows: list[npt.NDArray[np.int32]], size: int) -> npt.NDArray[np.float32]:
    vectors = word_vectors(rows, size, 6)[1]
    return vectors @ vectors.T


def test_rare_words_start_at_random() -> None:
    rows = [np.array([1, 2, 3, 4], dtype=np.int32)] * 5 + [np.array([5], dtype=np.int32)]
    ids, _ = word_vectors(rows, 6, 4)
    assert ids.tolist() == [2, 3, 4]
    start = start_of_embedding(rows, 6, 4, seed=3)
    assert start.shape == (6, 4)
    assert np.isfinite(start).all()
    assert (
        start[5] == np.random.default_rng(3).normal(0, word_vectors_module.RANDOM_SCALE, (6, 4)).astype(np.float32)[5]
    ).all()
    assert start_of_embedding([np.array([1], dtype=np.int32)], 3, 8, seed=0).shape == (3, 8), "too few for any vector"
