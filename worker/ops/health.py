"""What the process says of itself: ready or why not, alive or stuck.

Owns the reasons. `pages` serves them, the supervisor adds several up. Written by the loop, read by the page's thread,
so each method is one atomic step on a dict. The reloader's thread writes notes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from worker.clock import Clock

STARTING: Final = "starting"
QUIET_S: Final = 10.0  # a step takes a second at most; the poll half of one


class Health:
    """Reasons not to be ready, by part, and the loop's last beat.

    Args:
        clock: tells how long ago the last beat was.
        stall_s: a loop silent for longer is stuck, and `/livez` says so.
        parts: each starts as not ready.
    """

    def __init__(self, clock: Clock, *, stall_s: float, parts: tuple[str, ...] = ("model", "kafka", "redis")) -> None:
        self._clock = clock
        self._stall_s = stall_s
        self._reasons: dict[str, str] = dict.fromkeys(parts, STARTING)
        self._notes: dict[str, str] = {}
        self._last_beat = clock.monotonic()

    def note(self, part: str, text: str | None) -> None:
        """Say something of a part that does not make the process unready; None takes it back."""
        if text is None:
            self._notes.pop(part, None)
        else:
            self._notes[part] = text

    def up(self, part: str) -> bool:
        """Say that a part works; True when it did not before."""
        return self._reasons.pop(part, None) is not None

    def down(self, part: str, reason: str) -> bool:
        """Say why a part does not work; True when that is news."""
        news = self._reasons.get(part) != reason
        self._reasons[part] = reason
        return news

    def beat(self) -> None:
        """Say that the loop came round."""
        self._last_beat = self._clock.monotonic()

    @property
    def reasons(self) -> Mapping[str, str]:
        """Why the process is not ready; empty when it is."""
        found = dict(self._reasons)
        if self.silent_s > QUIET_S:
            found["loop"] = f"no progress for {self.silent_s:.0f} s"  # a client's call that takes no time-out
        return found

    @property
    def notes(self) -> Mapping[str, str]:
        """What an operator should know all the same, by part."""
        return dict(self._notes)

    @property
    def silent_s(self) -> float:
        """How long ago the loop came round."""
        return self._clock.monotonic() - self._last_beat

    @property
    def alive(self) -> bool:
        """Whether the loop still comes round."""
        return self.silent_s <= self._stall_s
