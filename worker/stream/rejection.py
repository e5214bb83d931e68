"""A record that cannot be rated becomes a rejection with its dead letter.

Owns what a dead letter says, and the count of attempts that travels in a header. Never holds the review's text.
`parse` and the classifier reject; `worker.kafka.outgoing` writes the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from schemas.dead_letter import OWN, DeadLetter, RejectReason
from worker.errors import RefusedError
from worker.records import Outcome, Record, Rejected, partition_of

ATTEMPTS_HEADER: Final = f"{OWN}attempts"
_ATTEMPTS_DIGITS: Final = 6  # anybody can write a header; a longer number is not a count of attempts


def rejected(
    record: Record, reason: RejectReason, message: str, *, model_version: str, exception: str = "InvalidReviewError"
) -> Rejected:
    """Return a record's rejection, with its dead letter."""
    return Rejected(
        record,
        DeadLetter.model_construct(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp_ms=record.timestamp,
            reason=reason,
            message=message,
            stage="rate" if reason in {"unratable", "refused"} else "parse",
            exception=exception,
            model_version=model_version,
            attempts=attempts_so_far(record.headers) + 1,
        ),
    )


def reject_poison(record: Record, crashes: int, *, model_version: str) -> Rejected:
    """Return the rejection of a record that killed the process each time it was tried."""
    message = f"the process died {crashes} times while it rated this record alone (WORKER_MAX_ATTEMPTS)"
    exception = "worker.stream.poison.PoisonTracker"
    return rejected(record, "unratable", message, model_version=model_version, exception=exception)


def reject_refused(outcomes: Sequence[Outcome], error: RefusedError, *, model_version: str) -> list[Outcome]:
    """Return the outcomes with a rejection in place of each rating or deletion that the brokers refuse.

    Raises:
        RefusedError: none of them is among the outcomes; the error given.
    """
    at = {(partition_of(record), record.offset) for record in error.records}
    refused = [
        not isinstance(outcome, Rejected) and (partition_of(outcome.record), outcome.record.offset) in at
        for outcome in outcomes
    ]
    if not any(refused):
        raise error
    return [
        rejected(outcome.record, "refused", str(error), model_version=model_version) if bad else outcome
        for outcome, bad in zip(outcomes, refused, strict=True)
    ]


def attempts_so_far(headers: Sequence[tuple[str, bytes | None]]) -> int:
    """Return how often a record was rejected before, by its last `starstream-attempts` header; 0 without a valid one.

    `dlq redrive` sends the dead letter's count along, so a record that is redriven and rejected again is counted.
    """
    for name, value in reversed(headers):
        if name == ATTEMPTS_HEADER and value is not None and value.isdigit() and len(value) <= _ATTEMPTS_DIGITS:
            return int(value)
    return 0
