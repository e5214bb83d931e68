"""The end of a training run: its tables, and the move of the channel.

Owns what a person reads at the end. The version is in the registry already; the channel moves here, last.
"""

from __future__ import annotations

from trainer.console import Screen
from trainer.errors import GateError
from trainer.evaluation.baselines import rival
from trainer.evaluation.tables import (
    behaviour_table,
    classes_table,
    comparison,
    detail_tables,
    figures_table,
    verdict_table,
)
from trainer.publish.bundle import Run
from trainer.publish.channel import move
from trainer.registry.history import Why
from trainer.registry.open import open_registry
from trainer.settings import TrainSettings


def finish(run: Run, screen: Screen) -> None:
    """Print the results of a run, and move the channel when the gate passes.

    Raises:
        GateError: it does not pass; the version is in the registry.
        ConflictError: somebody moved the channel since the gate compared the versions; the version is in the registry.
    """
    settings, verdict, current = run.settings, run.verdict, run.serving.contender
    rows = {f"{settings.cell} ({run.parity.variant}, TFLite)": run.evaluation.figures, **run.baselines}
    if current is not None:
        note = "" if run.serving.held_out else " (learned from some of these)"
        rows[f"{current.version}{note}"] = current.evaluation.figures
    screen.result(figures_table(f"{len(run.dataset.test)} held-out reviews", rows))
    _say_details(run, screen)
    if verdict is None:
        for doubt in run.doubts:
            screen.result(f"  {doubt}")
    else:
        screen.result(verdict_table(_question(settings), verdict))
        for note in verdict.notes:
            screen.result(f"  {note}")
    compared = rival(run.baselines)
    if compared is not None:
        screen.result(comparison(run.evaluation.figures, compared, len(run.dataset.train)))
    seconds = f"{sum(screen.seconds.values()):.0f} s"
    if not settings.publish:
        screen.result(f"nothing was published (--no-publish); {seconds}")
        if verdict is not None and verdict.refusals:
            raise GateError(f"{settings.channel} would not move: {'; '.join(verdict.refusals)}")
        return
    screen.result(f"report: {settings.registry.rstrip('/')}/{run.version}/report.html")
    published = f"published {run.version} in {settings.registry}"
    if verdict is None:
        screen.result(f"{published}; {seconds}")
        return
    forced = settings.force and bool(verdict.refusals)
    why = Why(action="train", message=settings.message, forced=forced, refusals=verdict.refusals)
    move(open_registry(settings.registry), settings.channel, run.version, why, run.replaces)
    screen.result(f"{published}, and {settings.channel} points at it{' (forced)' if forced else ''}; {seconds}")


def _say_details(run: Run, screen: Screen) -> None:
    """Print what the figures are made of: labels, rules, groups, sentences, and which ratings are certain."""
    _, _, details = detail_tables(run.evaluation, run.dataset.test.groups, run.model.decision)
    for table in (classes_table(run.evaluation), *details):
        screen.result(table)
    noise = run.noise
    if noise is not None and noise.repeated_texts:
        screen.result(
            f"the labels allow {noise.best_accuracy:.1%} at best on the {noise.repeated_reviews} reviews whose words "
            f"others wrote too; {noise.contradicting_share:.1%} of the held-out reviews contradict a sure rating"
        )
    if run.behaviour:
        screen.result(behaviour_table(run.behaviour))
    certain = run.certainty
    found = (
        f"{certain.held_out_share:.0%} of the held-out reviews, {certain.held_out_accuracy:.1%} of them right"
        if certain.held_out_share
        else "none of the held-out reviews"
    )
    screen.result(
        f"certain from a confidence of {certain.min_confidence:.2f}: {found} "
        f"(asked for {certain.accuracy:.0%} on validation)"
    )


def _question(settings: TrainSettings) -> str:
    compared = settings.compared_channel(settings.channel)
    note = "" if compared == settings.channel else f" (compared with {compared})"
    return f"may {settings.channel} move to this version?{note}"
