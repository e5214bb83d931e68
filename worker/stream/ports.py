"""The ports: what the loop asks of the world.

Owns the promises, not their keeping: `source`, `classifier`, `sinks.redis` and `sinks.topic` keep them on real parts,
`tests/doubles.py` in memory, and one contract suite runs on both. Every adapter raises only `ServiceError`s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from worker.records import Outcome, Partition, Pending, Rated, Record, Rejected


def nothing() -> None:
    """Nothing has to be waited for."""


class Source(Protocol):
    """Where records come from; owns the membership in the consumer group."""

    def poll(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        """Return at most so many new records, in offset order per partition; block at most so long.

        Raises:
            ServiceError: the client gave up.
        """
        ...

    def take_revoked(self) -> frozenset[Partition]:
        """Return the partitions lost or revoked since the last call: what is unsettled of them is another's now."""
        ...

    def trouble(self) -> str | None:
        """Return why no record can come now, in a line that says what to do; None when they can."""
        ...

    def passed(self) -> Mapping[Partition, int]:
        """Return positions that lie behind markers and aborted records, which no record given stands for.

        Asked only while nothing is unsettled; committing them lets lag read 0. Now and then, not at every call.
        """
        ...

    def rewind(self, positions: Mapping[Partition, int]) -> None:
        """Read each partition that is still owned from the offset given, so that nothing unsettled is skipped.

        The next poll skips what a failed commit has settled all the same, its answer lost.
        """
        ...

    def hold(self, timeout_s: float) -> None:
        """Block for so long, keeping membership and taking no records."""
        ...

    def close(self, timeout_s: float) -> None:
        """Leave the group."""
        ...


class Classifier(Protocol):
    """What gives stars."""

    @property
    def version(self) -> str:
        """The bundle that serves."""
        ...

    @property
    def tokens(self) -> int:
        """Tokens read so far by what serves; begins anew when that changes."""
        ...

    def refresh(self) -> None:
        """Between two batches: serve what has become ready since. `version` changes here and nowhere else."""
        ...

    def rate(self, pending: Sequence[Pending], rated_at: str) -> list[Rated | Rejected]:
        """Rate valid reviews, one outcome each, in order; a review that can not be rated spoils no neighbour."""
        ...


class Store(Protocol):
    """Where ratings are read from by id."""

    def begin(self, settled: Sequence[Outcome]) -> None:
        """Give the next part of a batch a head start; nothing is promised until `write` of the whole batch.

        Raises:
            ServiceError: as `write`; the batch is given up.
        """
        ...

    def write(self, settled: Sequence[Outcome]) -> None:
        """Write ratings and deletions, in order, and return once they are stored. Writing twice is writing once.

        Raises:
            ServiceError: nothing, or only a part, was stored.
        """
        ...

    def ping(self) -> None:
        """Return if the store answers.

        Raises:
            ServiceError: it does not.
        """
        ...


class Delivery(Protocol):
    """Where ratings, dead letters and tombstones are published, and consumed offsets committed.

    This is the seam of the delivery modes: at-least-once publishes, then commits; exactly-once does both in one
    transaction.
    """

    def commit(
        self, settled: Sequence[Outcome], offsets: Mapping[Partition, int], stored: Callable[[], None] = nothing
    ) -> None:
        """Publish the outcomes in order, then commit the offsets, and return once both are durable.

        Calls `stored` once, on this thread, before a reader of the topics (with `read_committed`, where there are
        transactions) can see any of it: it returns once the store has the outcomes, and what it raises gives the
        batch up.

        Raises:
            ServiceError: the offsets are not committed; the caller rewinds.
        """
        ...

    def ping(self) -> None:
        """Return if the brokers answer and the topics can be written.

        Raises:
            ServiceError: they do not.
        """
        ...

    def close(self, timeout_s: float) -> None:
        """Give the client back."""
        ...
