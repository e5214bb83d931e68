"""The results as a table for the terminal, the same for the README, and JSON. Pure, but for `write`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from tests.benchmarks.arithmetic import ratios
from tests.benchmarks.catalogue import FIXED_RATES
from tests.benchmarks.goals import GOALS
from tests.benchmarks.machine import Machine

BEGIN: Final = "<!-- benchmarks: begin -->"
END: Final = "<!-- benchmarks: end -->"
README: Final = Path(__file__).with_name("README.md")
JSON: Final = Path(__file__).with_name("results.json")

_LOADS: Final = ("idle", "load10", "load50", "load80")
_RATE_NAMES: Final = tuple(f"{rate:,.0f} reviews/s" for rate in FIXED_RATES)
_PHASES: Final = ("wait", "poll", "parse", "classify", "store", "topic")


@dataclass(frozen=True, slots=True)
class Row:
    """One row's medians, or why there are none."""

    name: str
    what: str
    figures: Mapping[str, float]
    failed: str | None = None


@dataclass(frozen=True, slots=True)
class Results:
    """What one command measured."""

    machine: Machine
    measured_at: str
    setting: Mapping[str, str]
    rows: Sequence[Row] = field(default_factory=list)

    @property
    def ratios(self) -> dict[str, float]:
        """Return how many times each row's rate the worker's is."""
        return ratios({row.name: row.figures for row in self.rows})


Grid = list[list[str]]


def goal_grid(results: Results) -> Grid:
    """Return heading and rows: each goal whose rows were measured, what was found, and whether that reaches it."""
    figures = {row.name: row.figures for row in results.rows if row.failed is None}
    grid = [["goal", "at", "found", "reached"]]
    for goal in GOALS:
        found = goal.found(figures)
        if found is not None:
            reached = found <= goal.limit if goal.at_most else found >= goal.limit
            sign = "<=" if goal.at_most else ">="
            grid.append([goal.what, f"{sign} {_number(goal.limit)}", _number(found), "yes" if reached else "no"])
    return grid


def throughput_grid(results: Results) -> Grid:
    """Return heading and rows: rate, ratio, CPU, memory, time to ready."""
    heading = ["row", "", "reviews/s", "the worker is", "CPU us/review", "broker CPU us", "Redis CPU us"]
    heading += ["memory MB, start", "memory MB, end", "ready s"]
    ratio = results.ratios
    grid = [heading]
    for row in results.rows:
        if row.failed is not None:
            grid.append([row.name, row.what, "failed: " + row.failed.splitlines()[0], *[""] * 7])
            continue
        of = row.figures.get
        times = f"{ratio[row.name]:.3g} x" if row.name in ratio else ""
        grid.append(
            [
                row.name,
                row.what,
                _number(of("reviews_per_s")),
                times,
                _number(of("cpu_us_per_review")),
                _number(of("broker_cpu_us_per_review")),
                _number(of("redis_cpu_us_per_review")),
                _number(of("rss_start_mb")),
                _number(of("rss_mb")),
                _number(of("ready_s")),
            ]
        )
    return grid


def latency_grid(results: Results) -> Grid:
    """Return heading and rows: p50 / p99 in milliseconds at each load, on the topic and in Redis."""
    heading = ["latency, p50 / p99 ms"]
    heading += [f"{load}, {place}" for load in _LOADS for place in ("topic", "Redis")]
    grid = [heading]
    for row in results.rows:
        cells = [_pair(row.figures, f"{load}_{place}") for load in _LOADS for place in ("topic", "redis")]
        if any(cells):
            grid.append([row.name, *cells])
    return grid


def rate_grid(results: Results) -> Grid:
    """Return heading and rows: latency on the topic, and CPU us a review, at the same rates for all."""
    grid = [["at a fixed rate: p50 / p99 ms, topic; CPU us/review: program + broker + Redis", *_RATE_NAMES]]
    for row in results.rows:
        cells = [_at_rate(row.figures, f"rate{rate:.0f}") for rate in FIXED_RATES]
        if any(cells):
            grid.append([row.name, *cells])
    return grid


def phase_grid(results: Results) -> Grid:
    """Return heading and rows: microseconds of the worker's loop a review, by phase."""
    grid = [["loop us/review", *_PHASES]]
    for row in results.rows:
        cells = [_number(row.figures.get(f"phase_{phase}_us_per_review")) for phase in _PHASES]
        if any(cells):
            grid.append([row.name, *cells])
    return grid


def rich_table(grid: Grid, title: str = "") -> Table:
    """Return a grid for the terminal."""
    table = Table(title=title, title_justify="left")
    for column, heading in enumerate(grid[0]):
        table.add_column(heading, justify="left" if column == 0 or not heading else "right")
    for row in grid[1:]:
        table.add_row(*row)
    return table


def grids(results: Results) -> tuple[Grid, ...]:
    """Return all tables, in their order; one without rows has a heading only."""
    return (
        goal_grid(results),
        throughput_grid(results),
        latency_grid(results),
        rate_grid(results),
        phase_grid(results),
    )


def markdown(results: Results) -> str:
    """Return what stands between the README's markers."""
    lines = [f"Measured {results.measured_at} on {results.machine}.", ""]
    lines += [f"- {name}: {value}" for name, value in results.setting.items()]
    for grid in grids(results):
        if len(grid) > 1:
            lines += ["", *markdown_table(grid)]
    return "\n".join(lines)


def as_json(results: Results) -> dict[str, Any]:
    """Return the machine, the setting and one object a row, rounded to four digits."""
    ratio = results.ratios
    rows = []
    for row in results.rows:
        figures = {name: _rounded(value) for name, value in row.figures.items()}
        extra: dict[str, Any] = {"ratio": _rounded(ratio[row.name])} if row.name in ratio else {}
        extra |= {"failed": row.failed} if row.failed is not None else {}
        rows.append({"name": row.name, "what": row.what, **figures, **extra})
    return {
        "measured_at": results.measured_at,
        "machine": asdict(results.machine),
        "setting": dict(results.setting),
        "rows": rows,
    }


def spliced(page: str, table: str, begin_marker: str = BEGIN, end_marker: str = END) -> str:
    """Return a page with what stands between its markers replaced.

    Raises:
        ValueError: a marker is missing.
    """
    before, begin, rest = page.partition(begin_marker)
    _, end, after = rest.partition(end_marker)
    if not begin or not end:
        raise ValueError(f"no {begin_marker} ... {end_marker} to write between")
    return f"{before}{begin}\n{table}\n{end}{after}"


def write(results: Results) -> None:
    """Put the table into the README and the figures into results.json."""
    README.write_text(spliced(README.read_text(encoding="utf-8"), markdown(results)), encoding="utf-8")
    JSON.write_text(json.dumps(as_json(results), indent=1) + "\n", encoding="utf-8")


def markdown_table(grid: Grid) -> list[str]:
    """Return the lines of a grid for a README."""
    ruler = ["---", *("---:" if heading else "---" for heading in grid[0][1:])]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (grid[0], ruler, *grid[1:])]


def _pair(figures: Mapping[str, float], name: str) -> str:
    p50, p99 = figures.get(f"{name}_p50_ms"), figures.get(f"{name}_p99_ms")
    return "" if p50 is None or p99 is None else f"{_number(p50)} / {_number(p99)}"


def _at_rate(figures: Mapping[str, float], name: str) -> str:
    cpu = [_number(figures.get(f"{name}_{whose}cpu_us_per_review")) for whose in ("", "broker_", "redis_")]
    latency = _pair(figures, f"{name}_topic")
    return f"{latency}; {' + '.join(cpu)}" if latency else ""


def _number(value: float | None) -> str:
    """Return three digits, and no more than whole numbers above that."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _rounded(value: float) -> float:
    return float(f"{value:.4g}") if abs(value) < 10_000 else float(round(value))
