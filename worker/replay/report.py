"""What a replay says at its end: how much was rated, and how the new ratings differ from the live ones.

Owns the words and tables, and the fields of `--json`. Standard output carries them; progress went to standard error.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from worker.errors import SettingsError
from worker.records import OUTCOME_NAMES, OutcomeName
from worker.replay.diff import Diff, VersionDiff
from worker.replay.plan import Plan


@dataclass(frozen=True, slots=True)
class Report:
    """A replay that reached its end. Outcomes and seconds are those of the last run, the diff is of all runs."""

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
    """Print the summary, or its JSON when `path` is `-`; a path gets the JSON as well as the summary.

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
    say = [f"{count['rated']} reviews rated by {report.plan.version}, {count['deleted']} deletions passed on"]
    if count["rejected"]:
        why = ", ".join(f"{reason} {number}" for reason, number in sorted(report.reasons.items()))
        say.append(f"{count['rejected']} could not be rated ({why}); no new dead letters were written")
    say.append(f"{report.seconds:.1f} s, {rate:.0f} records/s in this run")
    for line in say:
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    _print_diff(report.diff, console)


def _print_diff(diff: Diff, console: Console) -> None:
    total = diff.total
    console.print(
        f"\n{total.compared} compared with their live ratings: {_figures(total)}", highlight=False, soft_wrap=True
    )
    for number, what in (
        (diff.not_live, "have no live rating"),
        (diff.moved_on, "were sent again since, so that the live rating is of a later text"),
        (diff.others, "under the prefix are of other models, and were left out"),
    ):
        if number:
            console.print(f"{number} {what}", highlight=False, soft_wrap=True)
    for version, each in sorted(diff.by_version.items()):
        console.print(
            f"\nlive model {version}: {each.compared}, {_figures(each)}", highlight=False, soft_wrap=True, markup=False
        )
        console.print(_confusion(each))


def _figures(each: VersionDiff) -> str:
    if each.agreement is None:
        return "nothing to compare"
    return (
        f"agreement {each.agreement:.1%}, mean expected stars {each.mean_difference:+.3f}, "
        f"apart by {each.mean_distance:.3f}"
    )


def _confusion(each: VersionDiff) -> Table:
    table = Table("old \\ new", *(str(label) for label in each.labels), box=None)
    for old in each.labels:
        table.add_row(str(old), *(str(each.confusion[old, new] or ".") for new in each.labels))
    return table
