"""Which services are away, and the wait until they answer.

Owns what an outage shows: the reasons on `/readyz`, which the metrics show too, and one line in the log when a reason
is new and one when it is gone. `pipeline` decides what is read again; while it waits here, the source keeps the
membership.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from worker.backoff import Backoff
from worker.clock import Clock
from worker.errors import ServiceError, TransientError
from worker.ops.health import Health
from worker.ops.logs import Log
from worker.stream.ports import Source

STOP_CHECK_S: Final = 0.5  # no call blocks longer, so a signal is seen in time


@dataclass(slots=True)
class Services:
    """Reports outages and waits for their end. Not thread-safe: one a loop."""

    health: Health
    clock: Clock
    log: Log
    backoff: Backoff
    _down: set[str] = field(default_factory=set, init=False)  # reported as away

    def report(self, reason: str | None) -> None:
        """Report why the source cannot give records now; None when it can."""
        if reason is None:
            self._up("kafka")
        else:
            self.down(TransientError("kafka", reason))

    def down(self, error: ServiceError) -> None:
        """Report that a service is away."""
        self._down.add(error.service)
        if self.health.down(error.service, str(error)):
            self.log(logging.WARNING, "outage", part=error.service, reason=str(error))

    def wait(
        self, error: TransientError, source: Source, ping: Callable[[], None], stopping: Callable[[], bool]
    ) -> None:
        """Hold, with backoff, until `ping` succeeds or the loop is stopped.

        Raises:
            ServiceError: permanent or fenced.
        """
        while not stopping():
            self.down(error)
            self.hold(self.backoff.next_s(), source, stopping)
            try:
                ping()
            except TransientError as still:
                error = still
            else:
                self._up(*self._down)
                return

    def hold(self, seconds: float, source: Source, stopping: Callable[[], bool]) -> None:
        """Keep the membership and take no records for this long, or until stopped."""
        until = self.clock.monotonic() + seconds
        while not stopping() and (left := until - self.clock.monotonic()) > 0:
            self.health.beat()
            try:
                source.hold(min(STOP_CHECK_S, left))
            except TransientError as error:
                self.down(error)
                self.clock.sleep(min(STOP_CHECK_S, left))

    def _up(self, *services: str) -> None:
        for service in filter(self.health.up, services):
            self.log(logging.INFO, "recovered", part=service)
