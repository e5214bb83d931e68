"""The end of a training run: its tables, and the channel.

Owns what a person reads when it is done. The version is in the registry already; the channel moves here, last.
"""

from __future__ import annotations

from trainer.console import Screen, classes_table, figures_table, verdict_table
from trainer.errors import GateError
from trainer.publish.bundle import Run
from trainer.publish.channel import move
from trainer.registry.history import Why
from trainer.registry.open import open_registry
from trainer.settings import TrainSettings


def finish(run: Run, screen: Screen) -> None:
    """Print what a run came to, and move the channel when the gate lets it.

    Raises:
        GateError: it does not; the version is in the registry.
        ConflictError: somebody moved the channel since the gate looked; likewise.
    """
    settings, verdict = run.settings, run.verdict
    rows = {f"{settings.cell} ({run.parity.variant}, TFLite)": run.evaluation.figures, **run.floors}
    if run.published is not None:
        rows[f"{run.published.version}{'' if run.published.held_out else ' (saw some of these)'}"] = (
            run.published.figures
        )
    screen.result(figures_table(f"{len(run.dataset.test)} held-out reviews", rows))
    screen.result(classes_table(run.evaluation))
    if verdict is not None:
        screen.result(verdict_table(_asked(settings), verdict))
        for note in verdict.notes:
            screen.result(f"  {note}")
    seconds = f"{sum(screen.seconds.values()):.0f} s"
    if not settings.publish:
        screen.result(f"nothing was published (--no-publish); {seconds}")
        if verdict is not None and verdict.refusals:
            raise GateError(f"{settings.channel} would not move: {'; '.join(verdict.refusals)}")
        return
    where = f"published {run.version} in {settings.registry}"
    if verdict is None:
        screen.result(f"{where}; {seconds}")
        return
    forced = settings.force and bool(verdict.refusals)
    why = Why(action="train", message=settings.message, forced=forced, refusals=verdict.refusals)
    move(open_registry(settings.registry), settings.channel, run.version, why, run.replaces)
    screen.result(f"{where}, and {settings.channel} points at it{' (forced)' if forced else ''}; {seconds}")


def _asked(settings: TrainSettings) -> str:
    rival = settings.rival(settings.channel)
    beside = "" if rival == settings.channel else f" (compared with {rival})"
    return f"may {settings.channel} move to this version?{beside}"
