"""The dead-letter contract: the original record, with headers that say where it was read and why it was rejected.

Owns the two header families in common use, Kafka Connect's (`DeadLetterQueueReporter`, values are UTF-8 strings)
and Spring Kafka's (`DeadLetterPublishingRecoverer`, numbers are big-endian), and our own, `starstream-*`.
Never holds the review's text in a header. Where a letter cannot be as its record came, `worker.kafka.outgoing` says so
in `starstream-given-key`, `-dropped-time`, `-dropped-headers` and `-truncated-from-bytes`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

Headers = Sequence[tuple[str, bytes]]

RejectReason = Literal[
    "not_utf8",
    "not_json",
    "wrong_type",
    "unknown_schema",  # the schema registry does not have it
    "no_text",
    "text_too_long",
    "null_byte",
    "bad_identifier",
    "no_identity",
    "unratable",
    "refused",  # the brokers refuse its rating
]
REJECT_REASONS: tuple[RejectReason, ...] = get_args(RejectReason)

CONNECT = "__connect.errors."
SPRING = "kafka_dlt-"
OWN = "starstream-"
ERASED = f"{OWN}erased"  # a header: the tombstone of a review that was erased


class DeadLetter(BaseModel):
    """Why one record could not be rated."""

    model_config = ConfigDict(frozen=True, title="DeadLetter", protected_namespaces=())

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    reason: RejectReason
    message: str
    stage: Literal["parse", "rate"]
    exception: str
    model_version: str
    attempts: int = 1

    def headers(self, original: Headers) -> list[tuple[str, bytes]]:
        """Return the original headers, both families, and ours, without those of an earlier rejection."""
        kept = [(name, value) for name, value in original if not name.startswith((CONNECT, SPRING, OWN))]
        connect = {
            "topic": self.topic,
            "partition": str(self.partition),
            "offset": str(self.offset),
            "stage": "VALUE_CONVERTER" if self.stage == "parse" else "TRANSFORMATION",
            "class.name": f"starstream.{self.stage}",
            "exception.class.name": self.exception,
            "exception.message": self.message,
        }
        spring = {
            "original-topic": self.topic.encode(),
            "original-partition": struct.pack(">i", self.partition),
            "original-offset": struct.pack(">q", self.offset),
            "original-timestamp": struct.pack(">q", self.timestamp_ms),
            "exception-fqcn": self.exception.encode(),
            "exception-message": self.message.encode(),
        }
        own = {"reason": self.reason, "model-version": self.model_version, "attempts": str(self.attempts)}
        return [
            *kept,
            *((CONNECT + name, text.encode()) for name, text in connect.items()),
            *((SPRING + name, value) for name, value in spring.items()),
            *((OWN + name, text.encode()) for name, text in own.items()),
        ]
