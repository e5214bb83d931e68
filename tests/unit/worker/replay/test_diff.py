"""The arithmetic of a comparison of two models' ratings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.replay.diff import FIELDS, Diff, Side, side_of


def side(rating: int, expected: float, *, version: str = "old", offset: int = 1) -> Side:
    return Side(version, rating, expected, ("reviews", "id", 0, offset))


def test_diff_counts_agreement_confusion_and_distance_by_live_model() -> None:
    diff = Diff()
    for old, new in (
        (side(5, 4.5), side(5, 4.0)),
        (side(5, 4.5), side(3, 3.0)),
        (side(1, 1.5), side(3, 3.0)),
        (side(1, 1.0, version="older"), side(1, 1.25)),
    ):
        diff.add(new, old)
    diff.add(side(5, 4.0), None)
    diff.add(side(5, 4.0, offset=1), side(5, 4.0, offset=2))
    assert (diff.not_live, diff.moved_on) == (1, 1)
    found = diff.by_version["old"]
    assert found.compared == 3
    assert found.agreement == pytest.approx(1 / 3)
    assert found.confusion == {(5, 5): 1, (5, 3): 1, (1, 3): 1}
    assert found.mean_difference == pytest.approx((-0.5 - 1.5 + 1.5) / 3)
    assert found.mean_distance == pytest.approx(3.5 / 3)
    assert diff.by_version["older"].agreement == 1.0
    assert diff.total.compared == 4
    assert diff.total.agreement == pytest.approx(0.5)
    assert diff.total.mean_difference == pytest.approx((-0.5 + 0.25) / 4)
    assert diff.total.mean_distance == pytest.approx(3.75 / 4)
    assert diff.total.to_fields()["confusion"] == {"1": {"1": 1, "3": 1}, "5": {"3": 1, "5": 1}}


def test_without_pairs_there_are_no_shares() -> None:
    fields = Diff().total.to_fields()
    assert (fields["compared"], fields["agreement"], fields["mean_expected_difference"]) == (0, None, None)


PAIRS = st.lists(
    st.tuples(st.integers(1, 5), st.integers(1, 5), st.floats(1, 5), st.floats(1, 5), st.sampled_from("ab")),
    min_size=1,
)


@given(PAIRS)
def test_every_pair_is_in_the_confusion_once(pairs: list[tuple[int, int, float, float, str]]) -> None:
    diff = Diff()
    for old, new, old_expected, new_expected, version in pairs:
        diff.add(side(new, new_expected), side(old, old_expected, version=version))
    total = diff.total
    assert total.compared == len(pairs) == total.confusion.total()
    assert total.agreed == sum(total.confusion[label, label] for label in total.labels)
    assert total.mean_difference == pytest.approx(sum(pair[3] - pair[2] for pair in pairs) / len(pairs))
    assert abs(total.mean_difference or 0) <= (total.mean_distance or 0) + 1e-9


WHOLE = {"model_version": b"v1", "rating": b"5", "expected_rating": b"4.5"}
PLACE = {
    "source_topic": b"reviews",
    "source_topic_id": b"ApbmQyETQ5q2",
    "source_partition": b"0",
    "source_offset": b"7",
}


def values(fields: dict[str, bytes]) -> list[bytes | None]:
    return [fields.get(name) for name in FIELDS]


def test_a_rating_is_at_the_same_position_in_either_form() -> None:
    expected = Side("v1", 5, 4.5, ("reviews", "ApbmQyET", 0, 7))
    assert side_of(values({**WHOLE, **PLACE})) == side_of(values({**WHOLE, "source": b"reviews:ApbmQyET:0:7:1:+"}))
    assert side_of(values({**WHOLE, **PLACE})) == expected


@pytest.mark.parametrize(
    "fields", [{}, WHOLE, PLACE, {**WHOLE, "source": b"x"}, {**WHOLE, **PLACE, "rating": b"five"}], ids=str
)
def test_incomplete_rating_is_none(fields: dict[str, bytes]) -> None:
    assert side_of(values(fields)) is None
