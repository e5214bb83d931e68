"""The ports: what the loop needs from the outside world.

Owns the promises, not the code that keeps them: `worker.kafka`, `worker.redis` and `worker.model` keep them on real
services, `tests/doubles.py` in memory, and one contract suite runs on both. Adapters raise only `ServiceError`s. The
loop calls each port in order; no port calls back. A method that is marked `override` and says nothing of its own does
what its port says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from worker.records import Batch, Outcome, Partition, Pending, Rated, Record, Rejected


class Source(Protocol):
    """Where records come from; owns the membership in the consumer group."""

    def poll(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        """Return up to `max_records` new records, in offset order per partition; block up to `timeout_s`.

        Raises:
            ServiceError: the client gave up.
        """

    def take_revoked(self) -> frozenset[Partition]:
        """Return the partitions lost or revoked since the last call: their uncommitted records are another worker's."""

    def not_ready_reason(self) -> str | None:
        """Return why no record can come now, in a line that says what to do; None when records can come."""

    def offsets_past_markers(self) -> Mapping[Partition, int]:
        """Return positions past transaction markers and aborted records, which no returned record stands for.

        Called only while nothing is uncommitted; committing these positions lets the lag read 0. May return nothing
        although there are such positions; then a later call returns them.
        """

    def rewind(self, positions: Mapping[Partition, int]) -> None:
        """Read all owned partitions again from their committed offsets, from the given ones where nothing is committed.

        A commit that failed may have been carried out and only its answer lost; and a crash of the brokers may have
        undone one that they had confirmed, also of a partition that is not given. So the next poll fetches the
        committed offsets of all. By then the delivery has ended the transaction.
        """

    def hold(self, timeout_s: float) -> None:
        """Block for this long, keep the membership and take no records.

        Raises:
            ServiceError: the client gave up.
        """

    def close(self, timeout_s: float) -> None:
        """Leave the group, so that its partitions move at once."""


class Decoder(Protocol):
    """What reads values that are neither JSON nor text. Decoding the same bytes twice gives the same."""

    def decode(self, value: bytes, headers: Sequence[tuple[str, bytes | None]]) -> Any:
        """Return what a record's value holds: an object with fields, a text, or something else.

        Raises:
            InvalidReviewError: the bytes are of another form, or no schema is known for them.
            ServiceError: the schema's home does not answer.
        """

    def key_text(self, key: bytes | None) -> bytes | None:
        """Return a key as text where it is in the form of the values, else as it is.

        Raises:
            ServiceError: as in `decode`.
        """

    def ping(self) -> None:
        """Return if what could not be decoded for want of an answer can be decoded now.

        Raises:
            ServiceError: it cannot.
        """


class Classifier(Protocol):
    """What gives stars."""

    @property
    def version(self) -> str:
        """The serving bundle."""

    @property
    def tokens(self) -> int:
        """Tokens read so far."""

    def refresh(self) -> None:
        """Between two batches: serve the bundle that has become ready since. `version` changes only here."""

    def rate(self, pending: Sequence[Pending], rated_at: str) -> list[Rated | Rejected]:
        """Rate valid reviews, one outcome each, in order; a review that cannot be rated spoils no other."""


class Store(Protocol):
    """Where ratings are looked up by id."""

    def send(self, outcomes: Sequence[Outcome]) -> None:
        """Send part of a batch without waiting for the answer; dead letters are skipped.

        Raises:
            ServiceError: the store hangs; the batch fails.
        """

    def flush(self) -> Mapping[str, int]:
        """Return once everything sent is stored: how many were written, deleted, replayed (again) and stale (older).

        To store an outcome twice is to store it once.

        Raises:
            ServiceError: nothing, or only part of it, was stored; what was sent is abandoned.
        """

    def abandon(self) -> None:
        """Drop what was sent and not flushed; it may have been stored all the same."""

    def ping(self) -> None:
        """Return if the store takes writes.

        Raises:
            ServiceError: it does not.
        """


@dataclass(frozen=True, slots=True)
class Attempt:
    """A note of the offsets about to be tried in a partition."""

    first: int  # the first offset
    last: int  # the last offset
    runs: int  # how many process runs have started at `first`
    run_id: str  # the last of these runs

    @property
    def alone(self) -> bool:
        """Whether a single record was tried by itself."""
        return self.first == self.last


class PoisonLedger(Protocol):
    """Where notes of attempts outlive the process."""

    def load_attempts(self, partitions: Sequence[Partition]) -> Mapping[Partition, Attempt]:
        """Return the notes of these partitions.

        Raises:
            ServiceError: the ledger is away.
        """

    def save_attempts(self, attempts: Mapping[Partition, Attempt]) -> None:
        """Replace the notes of these partitions.

        Raises:
            ServiceError: the ledger is away.
        """


class Delivery(Protocol):
    """Publishes ratings, dead letters and tombstones, and commits consumed offsets, in three steps.

    This is the seam of the delivery modes: exactly-once sends and commits in one transaction, at-least-once publishes
    and then commits.
    """

    def prepare(self, outcomes: Sequence[Outcome], offsets: Mapping[Partition, int]) -> None:
        """Take the outcomes, in order, and the offsets to commit after them. A reader sees none of it yet.

        A reader of the topics is one with `read_committed`, where there are transactions.

        Raises:
            ServiceError: nothing is prepared; the caller rewinds.
        """

    def commit(self) -> None:
        """Make what was prepared visible, commit its offsets, and return once both are durable.

        Raises:
            ServiceError: the offsets are not committed, or the answer was lost; the caller rewinds.
        """

    def abort(self) -> None:
        """Drop what was prepared; best effort, never raises."""

    def ping(self) -> None:
        """Return if the brokers answer and the topics can be written.

        Raises:
            ServiceError: they do not.
        """

    def close(self, timeout_s: float) -> None:
        """Close the client."""


class Trace(Protocol):
    """A sampled batch or request, whose steps are noted."""

    @property
    def exemplar(self) -> Mapping[str, str]:
        """The labels by which a metric names it."""

    @property
    def traceparent(self) -> str:
        """The header by which another program goes on with it."""

    def step(self, name: str, started_s: float, seconds: float, error: BaseException | None = None) -> None:
        """Note a step that has ended, by the monotonic clock; from any thread."""

    def failed(self, kind: str, message: str = "") -> None:
        """Note that the whole failed; no message of ours holds a review's text."""

    def end(self, attributes: Mapping[str, str | int | float | bool], name: str | None = None) -> None:
        """End it, with what is known by now."""


class Traces(Protocol):
    """Where traces begin. None of its methods waits for a collector, but `close`."""

    def begin(self, batch: Batch) -> Trace | None:
        """Return the trace of a batch; None when it is not sampled."""

    def begin_request(self, method: str, traceparent: bytes | None) -> Trace | None:
        """Return the trace of an HTTP request; None when it is not sampled."""

    def close(self, timeout_s: float) -> None:
        """Send what waits, for at most this long."""
