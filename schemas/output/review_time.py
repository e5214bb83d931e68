"""When a review was written: its own time, else its record's.

Owns how a time that a producer sent as text is read. Trends and telling words place reviews by it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from schemas.rating import Rating, time_text


def review_time_s(rating: Rating) -> float | None:
    """Return seconds since the epoch, None when neither is known.

    A number, also one sent as text, is seconds, milliseconds, microseconds or nanoseconds, by its size; a time without
    a zone is UTC. What is no time is as if it were not there.
    """
    if rating.created_at is not None:
        text = rating.created_at.strip()
        try:
            time = datetime.fromisoformat(time_text(float(text)) if re.fullmatch(r"-?\d{1,19}(\.\d+)?", text) else text)
            return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            pass
    stamp = rating.source.timestamp_ms
    return stamp / 1000 if stamp is not None and stamp >= 0 else None
