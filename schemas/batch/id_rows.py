"""The ids of many texts in one array, as the encoder makes them and the model reads them.

Owns the cutting, and the padding of some of the rows to a rectangle. It is a sequence of `int32[n]` arrays for whoever
wants those.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt
from typing_extensions import override

PAD_ID = 0

Ids = npt.NDArray[np.int32]
Counts = npt.NDArray[np.int64]


class IdRows(Sequence[Ids]):
    """N rows of ids, of any lengths. Do not change them in place.

    Attributes:
        flat: `int32[sum of the lengths]`, one row behind the other.
        ends: `int64[N]`, where each row ends in `flat`.
        lengths: `int64[N]`.
    """

    def __init__(self, flat: Ids, ends: Counts) -> None:
        self.flat = flat
        self.ends = ends
        self.lengths: Counts = np.diff(ends, prepend=0)

    @staticmethod
    def of(rows: Sequence[Ids]) -> IdRows:
        """Return rows, `int32[n]` each, as one object; what is one already is returned itself."""
        if isinstance(rows, IdRows):
            return rows
        lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        flat = np.concatenate(rows) if len(rows) else np.empty(0, dtype=np.int32)
        return IdRows(flat, lengths.cumsum())

    def with_others(self, others: IdRows, places: Sequence[int]) -> IdRows:
        """Return these rows and others, each of which gets its place; these take the remaining ones in order."""
        order = np.empty(len(self) + len(others), dtype=np.int64)
        mine = np.ones(len(order), dtype=bool)
        mine[places] = False
        order[mine] = np.arange(len(self))
        order[~mine] = np.arange(len(self), len(order))
        lengths = np.concatenate([self.lengths, others.lengths])
        starts = np.concatenate([self.ends, others.ends + len(self.flat)]) - lengths
        lengths, starts = lengths[order], starts[order]
        ends = lengths.cumsum()
        where = np.arange(len(self.flat) + len(others.flat)) + np.repeat(starts - (ends - lengths), lengths)
        return IdRows(np.concatenate([self.flat, others.flat])[where], ends)

    def padded(self, rows: npt.NDArray[np.intp]) -> Ids:
        """Return some rows as `int32[B, longest]`, padded with `PAD_ID`."""
        lengths = self.lengths[rows, None]
        steps = np.arange(int(lengths.max()))
        where = (self.ends[rows, None] - lengths) + steps
        found: Ids = self.flat.take(where, mode="clip")  # past its end a row has the next one's ids
        found[steps >= lengths] = PAD_ID
        return found

    @override
    def __len__(self) -> int:
        return len(self.ends)

    @override
    def __iter__(self) -> Iterator[Ids]:
        start = 0
        for end in self.ends.tolist():
            yield self.flat[start:end]
            start = end

    @overload
    def __getitem__(self, index: int) -> Ids: ...
    @overload
    def __getitem__(self, index: slice) -> list[Ids]: ...
    @override
    def __getitem__(self, index: int | slice) -> Ids | list[Ids]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        end = int(self.ends[index])
        return self.flat[end - int(self.lengths[index]) : end]
