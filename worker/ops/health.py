"""The health of a process: ready, or the reasons why not; alive, or stuck.

Owns the reasons. `worker.ops.http_server` serves them, `worker.run.child_status` those of several processes. The loop
and the reloader's thread write while the server's threads read, so each method is one atomic operation on a dict.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from worker.clock import Clock

STARTING: Final = "starting"
QUIET_S: Final = 10.0  # a step of the loop takes a second at most, half of it polling


class Health:
    """Reasons why the process is not ready, by part, and the time of the loop's last step.

    Args:
        stall_s: a loop without a step for longer is stuck.
        parts: those that are not ready at the start.
    """

    def __init__(self, clock: Clock, *, stall_s: float, parts: tuple[str, ...] = ("model", "kafka", "redis")) -> None:
        self._clock = clock
        self._stall_s = stall_s
        self._reasons: dict[str, str] = dict.fromkeys(parts, STARTING)
        self._notes: dict[str, str] = {}
        self._last_beat = clock.monotonic()

    def note(self, part: str, text: str | None) -> bool:
        """Set a note on a part, which leaves the process ready; None removes it. Return whether the note is new."""
        if text is None:
            self._notes.pop(part, None)
            return False
        is_new = self._notes.get(part) != text
        self._notes[part] = text
        return is_new

    def up(self, part: str) -> bool:
        """Report that a part works; return whether it did not before."""
        return self._reasons.pop(part, None) is not None

    def down(self, part: str, reason: str) -> bool:
        """Report why a part does not work; return whether the reason is new."""
        is_new = self._reasons.get(part) != reason
        self._reasons[part] = reason
        return is_new

    def beat(self) -> None:
        """Report a step of the loop."""
        self._last_beat = self._clock.monotonic()

    @property
    def reasons(self) -> Mapping[str, str]:
        """Why the process is not ready, by part; empty when it is."""
        reasons = dict(self._reasons)
        if self.silent_s > QUIET_S:
            reasons["loop"] = f"no progress for {self.silent_s:.0f} s"  # in a client's call that takes no timeout
        return reasons

    @property
    def notes(self) -> Mapping[str, str]:
        """What an operator should know even so, by part."""
        return dict(self._notes)

    @property
    def silent_s(self) -> float:
        """Seconds since the last step of the loop."""
        return self._clock.monotonic() - self._last_beat

    @property
    def alive(self) -> bool:
        """Whether the loop is not stuck."""
        return self.silent_s <= self._stall_s
