"""Rows of ids in one array are the rows that they were made of."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.batch.id_rows import IdRows

rows = st.lists(st.lists(st.integers(1, 9), max_size=9), max_size=12)


def made(found: list[list[int]]) -> IdRows:
    return IdRows.of([np.array(row, dtype=np.int32) for row in found])


@given(found=rows)
def test_they_are_a_sequence_of_arrays(found: list[list[int]]) -> None:
    whole = made(found)
    assert IdRows.of(whole) is whole
    assert [row.tolist() for row in whole] == found
    assert [whole[number].tolist() for number in range(len(whole))] == found
    assert [row.tolist() for row in whole[1::2]] == found[1::2]
    assert whole.lengths.tolist() == [len(row) for row in found]


@given(found=rows.filter(any), data=st.data())
def test_some_are_padded_to_the_longest_of_them(found: list[list[int]], data: st.DataObject) -> None:
    full = [number for number, row in enumerate(found) if row]
    some = data.draw(st.lists(st.sampled_from(full), min_size=1, max_size=9))
    longest = max(len(found[number]) for number in some)
    padded = made(found).padded(np.array(some))
    assert padded.dtype == np.int32
    assert padded.tolist() == [found[number] + [0] * (longest - len(found[number])) for number in some]


@given(found=rows, data=st.data())
def test_others_get_their_places(found: list[list[int]], data: st.DataObject) -> None:
    places = sorted(data.draw(st.sets(st.sampled_from(range(len(found)))))) if found else []
    mine = made([row for number, row in enumerate(found) if number not in places])
    whole = mine.with_others(made([found[number] for number in places]), places)
    assert [row.tolist() for row in whole] == found
