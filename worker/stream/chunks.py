"""Cuts a batch into chunks that are rated one after the other.

Owns their size and what goes into which. Order does not matter here: `pipeline` puts the outcomes back in order of
arrival, and the store's fence keeps the latest outcome of a review.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from worker.records import Outcome, Pending

_CHUNK_REVIEWS: Final = 512  # the store writes one chunk while the next is rated


def chunks(parsed: Sequence[Pending | Outcome]) -> Iterator[list[tuple[int, Pending]]]:
    """Cut the pending reviews into chunks of equal size, sorted by text length; yield indexes and reviews.

    The model pads each text to the longest of its group. With chunks in order of arrival a third of its steps were
    padding, with chunks of similar length a tenth (worker/LOG.md).
    """
    pending = [(index, row) for index, row in enumerate(parsed) if isinstance(row, Pending)]
    count = -(-len(pending) // _CHUNK_REVIEWS)
    if count > 1:
        lengths = [len(review.review.text) for _, review in pending]
        pending = [pending[number] for number in sorted(range(len(pending)), key=lengths.__getitem__)]
    size = -(-len(pending) // max(count, 1))
    for number in range(count):
        yield pending[number * size : (number + 1) * size]
