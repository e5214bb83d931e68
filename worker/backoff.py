"""How long to wait before trying again: exponential with full jitter.

Source: Brooker 2015, "Exponential Backoff And Jitter" (AWS Architecture Blog), the variant with the least work:
`random(0, min(cap, base * 2**attempt))`, here from a tenth of that upwards, so that a retry is never immediate.
"""

from __future__ import annotations

import random


class Backoff:
    """Gives the next wait and counts the attempts. Not thread-safe.

    Args:
        base_s: upper bound of the first wait.
        cap_s: upper bound of any wait.
        source: random numbers, injected for tests.
    """

    def __init__(self, *, base_s: float = 0.2, cap_s: float = 10.0, source: random.Random | None = None) -> None:
        self._base_s = base_s
        self._cap_s = cap_s
        self._source = source or random.Random()  # noqa: S311  (spreads retries; no secret)
        self.attempts = 0

    def next_s(self) -> float:
        """Return the next wait in seconds and count an attempt."""
        ceiling = min(self._cap_s, self._base_s * 2.0 ** min(self.attempts, 30))
        self.attempts += 1
        return self._source.uniform(ceiling / 10, ceiling)

    def reset(self) -> None:
        """Start over, after a success."""
        self.attempts = 0
