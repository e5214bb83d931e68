"""How a case is played: on a scene of its own, to the end, into a row of the table."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.chaos.audit import Verdict
from tests.chaos.scene import Row, Scene, Stage
from tests.fixtures.markers import log_length, markers_thrown_away

_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Case:
    """A case: what is done, and what may come of it.

    Attributes:
        act: does it and returns the auditor's verdict; its docstring says what it kills and when.
        delivery: the workers' mode; at-least-once may duplicate.
    """

    act: Callable[[Scene], Verdict]
    delivery: str = "exactly_once"

    @property
    def name(self) -> str:
        """The name on the command line and in the table."""
        return self.act.__name__

    @property
    def story(self) -> str:
        """What it does, in a paragraph."""
        return " ".join((self.act.__doc__ or "").split())

    def play(self, stage: Stage) -> Row:
        """Play it and return its row; what went wrong is in it, nothing is raised but a broken stage.

        One that stood still, with nothing lost or doubled, because the broker threw markers away (README.md, "A
        broker's own fault") is played again, and its row says so.
        """
        notes: list[str] = []
        while True:
            begins = log_length(stage.kafka)
            row = self._play(stage, f"{self.name}-{len(notes)}" if notes else self.name)
            row.notes = notes
            stood_still = not row.good and row.lost == row.duplicated == 0
            if not stood_still or len(notes) == _TRIES - 1 or not markers_thrown_away(stage.kafka, begins):
                return row
            notes.append("played again: the broker threw a transaction's markers away after its crash")

    def _play(self, stage: Stage, name: str) -> Row:
        started = time.monotonic()
        stage.kafka.start()
        stage.redis.start()
        scene = Scene(stage, name, delivery=self.delivery)
        row = Row(self.name)
        try:
            verdict = self.act(scene)
            row.reviews, row.dead_lettered = verdict.reviews, verdict.dead_lettered
            row.lost, row.duplicated = verdict.lost, verdict.duplicated
            allowed = "duplicated" if self.delivery == "at_least_once" else "\0"
            row.wrong += [line for line in verdict.wrong if not line.startswith(allowed)]
            if not verdict.reviews:
                row.wrong.append("nothing was produced")
        except (AssertionError, TimeoutError) as error:
            row.wrong.append(str(error))
        finally:
            row.wrong += scene.close()
        row.kills, row.recovery_s = scene.kills, scene.recovery_s
        row.seconds = time.monotonic() - started
        return row
