"""Cuts a batch into the parts that are rated one after the other.

Owns their size and what goes into which. Order matters to nobody here: `pipeline` puts the outcomes back in the order
of arrival, and the store's fence keeps the latest of a review.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from worker.records import Outcome, Pending

_REVIEWS: Final = 512  # the store writes one part while the next is rated


def parts(judged: Sequence[Pending | Outcome]) -> Iterator[list[tuple[int, Pending]]]:
    """Cut what is pending into parts of like size, texts of like length together: yields positions and reviews.

    The model pads each text to the longest beside it; by parts in the order of arrival a third of its steps were
    padding, by parts of like length a tenth is.
    """
    pending = [(at, each) for at, each in enumerate(judged) if isinstance(each, Pending)]
    count = -(-len(pending) // _REVIEWS)
    if count > 1:
        lengths = [len(each.review.text) for _, each in pending]
        pending = [pending[number] for number in sorted(range(len(pending)), key=lengths.__getitem__)]
    size = -(-len(pending) // max(count, 1))
    for part in range(count):
        yield pending[part * size : (part + 1) * size]
