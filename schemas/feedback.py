"""The feedback message: an author's stars that are sent after the review, `{"review_id": ..., "score": ...}`.

Owns which bytes are feedback, and when its score is a label. The worker compares feedback with ratings, and
`trainer collect` joins it with texts.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class Feedback(NamedTuple):
    """The id of a review and the score as sent: any JSON value; `label` checks it."""

    review_id: str
    score: Any

    def label(self, labels: frozenset[int]) -> int | None:
        """Return the score as one of the labels; None when it is not one."""
        is_number = isinstance(self.score, int | float) and not isinstance(self.score, bool)
        return int(self.score) if is_number and self.score in labels else None


def parse_feedback(value: bytes | None) -> Feedback | None:
    """Read the value of a record; None when it is not a JSON object with an id and a score."""
    try:
        found: Any = json.loads(value or b"")
    except (ValueError, RecursionError):  # not JSON, not UTF-8, or nested too deeply
        return None
    if not isinstance(found, dict) or "score" not in found:
        return None
    review_id = found.get("review_id", found.get("reviewId"))
    return Feedback(review_id, found["score"]) if isinstance(review_id, str) and _has_bytes(review_id) else None


def _has_bytes(text: str) -> bool:
    """Whether a text is not empty and can be a key: JSON can escape half of a surrogate pair, which is no UTF-8."""
    return text.encode("utf-8", "replace").decode() == text != ""
