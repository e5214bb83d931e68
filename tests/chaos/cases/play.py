"""Runs a case on a scene of its own and returns its row of the table."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.chaos.audit import Verdict
from tests.chaos.scene import Row, Scene, Stage
from tests.fixtures.markers import log_length, markers_lost

_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Case:
    """A case: what it does, and the delivery mode, which decides whether duplicates are allowed."""

    # Does it and returns the auditor's verdict; its docstring says what it kills and when.
    act: Callable[[Scene], Verdict]
    delivery: str = "exactly_once"  # the workers' mode; at-least-once may publish duplicates
    nightly: bool = False  # left out of `make chaos` for its length: `--nightly` or `--case` runs it

    @property
    def name(self) -> str:
        """The name on the command line and in the table."""
        return self.act.__name__

    @property
    def description(self) -> str:
        """What it does, in a paragraph."""
        return " ".join((self.act.__doc__ or "").split())

    def run(self, stage: Stage) -> Row:
        """Run it and return its row, with what went wrong; raise only when the stage is broken.

        A case that stalled or has duplicates, and lost nothing, because the broker lost transaction markers (README.md,
        "A defect of the broker") is run again, and its row says so.
        """
        notes: list[str] = []
        while True:
            log_start = log_length(stage.kafka)
            row = self._run(stage, f"{self.name}-{len(notes)}" if notes else self.name)
            row.notes = notes
            excusable = not row.passed and row.lost == 0
            if not excusable or len(notes) == _TRIES - 1 or not markers_lost(stage.kafka, log_start):
                return row
            notes.append("run again: the broker lost a transaction's markers after its crash")

    def _run(self, stage: Stage, name: str) -> Row:
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
