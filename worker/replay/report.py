"""A replay's report: how many reviews were rated, and how the new ratings differ from the live ones.

Owns its text, its tables and the fields of `--json`, on standard output; progress goes to standard error.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from worker.errors import SettingsError
from worker.records import OUTCOME_NAMES, OutcomeName
from worker.replay.diff import Diff, PairDiff
from worker.replay.plan import Plan

_MOST_LABELS: Final = 10


@dataclass(frozen=True, slots=True)
class Report:
    """A replay that reached its end. Outcomes and seconds are of the last run, the diff is of all runs."""

    plan: Plan
    redis_prefix: str
    live_prefix: str
    outcomes: Counter[OutcomeName]
    reasons: Counter[str]
    seconds: float
    diff: Diff

    def to_fields(self) -> dict[str, object]:
        """Return the figures for JSON."""
        this_run: dict[str, object] = {
            **{outcome: self.outcomes[outcome] for outcome in OUTCOME_NAMES},
            "seconds": round(self.seconds, 3),
            "rejected_by_reason": dict(self.reasons),
        }
        return {
            "version": self.plan.version,
            "group": self.plan.group,
            "from": self.plan.start,
            "to": self.plan.end,
            "topic_out": self.plan.topic_out,
            "redis_prefix": self.redis_prefix,
            "live_prefix": self.live_prefix,
            "offsets": self.plan.offsets,
            "this_run": this_run,
            "diff": self.diff.to_fields(),
        }


def write_report(report: Report, path: str | None) -> None:
    """Print the report; with a path, write its JSON there as well; with `-`, print only the JSON.

    Raises:
        SettingsError: the file cannot be written.
    """
    text = json.dumps(report.to_fields(), indent=1)
    if path == "-":
        print(text)
        return
    _print_report(report, Console())
    if path is not None:
        try:
            Path(path).write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise SettingsError(f"--json {path}: {error.strerror}") from error


def _print_report(report: Report, console: Console) -> None:
    count = report.outcomes
    rate = count.total() / report.seconds if report.seconds else 0.0
    lines = [f"{count['rated']} reviews rated by {report.plan.version}, {count['deleted']} deletions published"]
    if count["rejected"]:
        reasons = ", ".join(f"{reason} {number}" for reason, number in sorted(report.reasons.items()))
        lines.append(f"{count['rejected']} could not be rated ({reasons}); no new dead letters were written")
    lines.append(f"{report.seconds:.1f} s, {rate:.0f} records/s in this run")
    diff = report.diff
    lines.append(f"\n{diff.total.compared} compared with their live ratings: {_figures(diff.total)}")
    for number, what in (
        (diff.not_live, "have no live rating"),
        (diff.moved_on, "were sent again since, so the live rating is of a later text"),
        (diff.others, "under the prefix are of other models and were left out"),
    ):
        if number:
            lines.append(f"{number} {what}")
    _print(console, lines)
    for version, live in sorted(diff.by_version.items()):
        _print(console, [f"\nlive model {version}: {live.compared}, {_figures(live)}"])
        if live.stars:
            console.print(_confusion(live))


def _print(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def _figures(diff: PairDiff) -> str:
    if diff.agreement is None:
        return "nothing to compare"
    said = f"agreement {diff.agreement:.1%}"
    if diff.mean_difference is not None:
        said += f", mean expected stars {diff.mean_difference:+.3f}, apart by {diff.mean_distance:.3f}"
    for what, labels in (("gained", diff.gained), ("lost", diff.lost)):
        if labels:
            said += f", {what} " + ", ".join(f"{label} {count}" for label, count in labels.most_common(_MOST_LABELS))
    return said


def _confusion(diff: PairDiff) -> Table:
    table = Table("old \\ new", *(str(label) for label in diff.labels), box=None)
    for old in diff.labels:
        table.add_row(str(old), *(str(diff.confusion[old, new] or ".") for new in diff.labels))
    return table
