from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data.split import TEST, TRAIN, VALIDATION, assign, fold, group

# Texts that differ only in case, punctuation, spaces or the skin tone of an emoji are the same review.
_forms = st.sampled_from(["{}", "{}!", "  {} ", "{}...", "¡{}?!", "«{}»"])


@given(
    words=st.lists(st.text("abcdeéß你👍", min_size=1, max_size=6), min_size=1, max_size=40),
    forms=st.lists(_forms, min_size=1, max_size=5),
    seed=st.integers(0, 2**31 - 1),
)
def test_no_text_is_on_two_sides(words: list[str], forms: list[str], seed: int) -> None:
    texts = [form.format(word) for word in words for form in forms] + [word.upper() for word in words]
    groups = np.array([group(text) for text in texts], dtype=np.uint64)
    sides = assign(groups, seed, 0.2, 0.2)
    side_of: dict[str, int] = {}
    for text, side in zip(texts, sides.tolist(), strict=True):
        assert side_of.setdefault(fold(text), side) == side


def test_fold_ignores_case_and_punctuation_only() -> None:
    assert fold("Great App!!!") == fold("great, app") == "great app"
    assert fold("great app") != fold("great apps")
    assert fold("👍🏽") == fold("👍") != fold("👎")


@given(seed=st.integers(0, 2**31 - 1))
def test_split_is_a_function_of_text_and_seed_alone(seed: int) -> None:
    groups = np.arange(500, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    whole = assign(groups, seed, 0.1, 0.1)
    assert (assign(groups[::-1], seed, 0.1, 0.1) == whole[::-1]).all()
    assert (assign(groups[:100], seed, 0.1, 0.1) == whole[:100]).all()


def test_split_has_its_shares_and_depends_on_the_seed() -> None:
    groups = np.array([group(f"text {number}") for number in range(20_000)], dtype=np.uint64)
    sides = assign(groups, 0, 0.1, 0.2)
    assert np.bincount(sides) / len(sides) == pytest.approx([0.7, 0.1, 0.2], abs=0.01)
    other = assign(groups, 1, 0.1, 0.2)
    # Unrelated splits share 0.2 * 0.2 of the test side by chance.
    assert float(((sides == 2) & (other == 2)).mean()) == pytest.approx(0.04, abs=0.01)


_seeds = st.integers(0, 2**31 - 1)
_label_sizes = st.lists(st.integers(3, 40), min_size=2, max_size=6)


def _rows(
    sizes: list[int],
) -> tuple[np.ndarray[tuple[int], np.dtype[np.uint64]], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Return three rows for each of `sizes[label]` texts of a label, and their labels."""
    texts = [(f"{label} word{number}", label) for label, size in enumerate(sizes) for number in range(size)] * 3
    return np.array([group(text) for text, _ in texts], dtype=np.uint64), np.array([label for _, label in texts])


@given(sizes=_label_sizes, seed=_seeds)
def test_every_label_is_on_every_side(sizes: list[int], seed: int) -> None:
    groups, labels = _rows(sizes)
    sides = assign(groups, seed, 0.1, 0.1, labels.tolist())
    for label in range(len(sizes)):
        assert {*sides[labels == label].tolist()} == {TRAIN, VALIDATION, TEST}
    assert len({*zip(groups.tolist(), sides.tolist(), strict=True)}) == sum(sizes), "a text is on one side"
    order = np.random.default_rng(seed).permutation(len(groups))
    assert (assign(groups[order], seed, 0.1, 0.1, labels[order].tolist()) == sides[order]).all()


@given(sizes=st.lists(st.integers(8, 40), min_size=2, max_size=6), more=st.integers(1, 60), seed=_seeds)
def test_added_rows_never_hold_out_a_text_that_was_learned(sizes: list[int], more: int, seed: int) -> None:
    groups, labels = _rows(sizes)
    before = assign(groups, seed, 0.1, 0.1, labels.tolist())
    new = np.array([group(f"new {number}") for number in range(more)], dtype=np.uint64)
    new_labels = [number % len(sizes) for number in range(more)]
    after = assign(np.concatenate([groups, new]), seed, 0.1, 0.1, [*labels.tolist(), *new_labels])
    assert (after[: len(groups)][before == TRAIN] == TRAIN).all()


@given(sizes=_label_sizes, seed=_seeds)
def test_a_side_without_a_share_stays_empty_and_common_labels_stay_where_the_hash_puts_them(
    sizes: list[int], seed: int
) -> None:
    groups, labels = _rows([*sizes, 2_000])
    by_label = assign(groups, seed, 0.1, 0.0, labels.tolist())
    assert TEST not in by_label.tolist()
    by_hash = assign(groups, seed, 0.1, 0.0)
    common = labels == len(sizes)
    assert (by_label[common] == by_hash[common]).all()


def test_the_only_text_of_a_label_is_learned() -> None:
    groups = np.array([group("alone"), *(group(f"text {number}") for number in range(99))], dtype=np.uint64)
    seed = next(seed for seed in range(99) if assign(groups, seed, 0.1, 0.1)[0] == TRAIN)
    assert assign(groups, seed, 0.1, 0.1, [1, *[5] * 99])[0] == TRAIN
