"""The front's figures as tables, for the terminal and for the README. Pure, but for `write`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.benchmarks.front.servers import SERVERS
from tests.benchmarks.goals import Goal
from tests.benchmarks.report import Grid, markdown_table, spliced

BEGIN: Final = "<!-- front: begin -->"
END: Final = "<!-- front: end -->"
README: Final = Path(__file__).with_name("README.md")
STREAM: Final = "stream"  # the row of the worker itself
GOALS: Final = (
    Goal("64 clients: requests/s over plain_tutorial's", 4, "serve", "requests_per_s_64", over="plain_tutorial"),
    Goal("64 clients: requests/s over plain_encoder's", 4, "serve", "requests_per_s_64", over="plain_encoder"),
    Goal("64 clients: p99 over plain_tutorial's", 1, "serve", "p99_ms_64", over="plain_tutorial", at_most=True),
    Goal("64 clients: p99 over plain_encoder's", 1, "serve", "p99_ms_64", over="plain_encoder", at_most=True),
    Goal("1 client: p50 ms more than plain_encoder's", 1, "serve", "p50_ms_1", less="plain_encoder", at_most=True),
    Goal("1 client: p50 ms more than plain_tutorial's", 1, "serve", "p50_ms_1", less="plain_tutorial", at_most=True),
)
Figures = Mapping[str, Mapping[str, float]]


def tables(figures: Figures, clients: Sequence[int]) -> list[Grid]:
    """Return the goals, and the servers at each number of clients."""
    return [grid for grid in (_goals(figures), _servers(figures, clients)) if len(grid) > 1]


def markdown(figures: Figures, setting: Mapping[str, str], clients: Sequence[int]) -> str:
    """Return what stands between the README's markers."""
    lines = [f"- {name}: {value}" for name, value in setting.items()]
    for grid in tables(figures, clients):
        lines += ["", *markdown_table(grid)]
    return "\n".join(lines)


def write(text: str) -> None:
    """Put the tables into the README."""
    README.write_text(spliced(README.read_text(encoding="utf-8"), text, BEGIN, END), encoding="utf-8")


def _goals(figures: Figures) -> Grid:
    grid = [["goal", "at", "found", "reached"]]
    for goal in GOALS:
        _add(grid, goal.what, goal.found(figures), goal.limit, at_most=goal.at_most)
    rate, stream = figures.get("serve", {}).get("many_reviews_per_s"), figures.get(STREAM, {}).get("reviews_per_s")
    if rate is not None and stream is not None:
        _add(grid, "1,000 texts a request: share of the stream's rate", rate / stream, 0.6, at_most=False)
    return grid


def _add(grid: Grid, what: str, found: float | None, limit: float, *, at_most: bool) -> None:
    if found is not None:
        reached = found <= limit if at_most else found >= limit
        grid.append([what, f"{'<=' if at_most else '>='} {limit:g}", f"{found:.3g}", "yes" if reached else "no"])


def _servers(figures: Figures, clients: Sequence[int]) -> Grid:
    heading = ["server", ""]
    for number in clients:
        heading += [f"{number}: requests/s", "p50 / p99 ms", "CPU us"]
    grid = [[*heading, "reviews/s, 1,000 a request", "memory MB"]]
    for server in SERVERS:
        found = figures.get(server.name)
        if found is None:
            continue
        cells = [server.name, server.what]
        for number in clients:
            cells.append(f"{found[f'requests_per_s_{number}']:,.0f}")
            cells.append(f"{found[f'p50_ms_{number}']:.2f} / {found[f'p99_ms_{number}']:.2f}")
            cells.append(f"{found[f'cpu_us_{number}']:,.0f}")
        many = found.get("many_reviews_per_s")
        grid.append([*cells, "" if many is None else f"{many:,.0f}", f"{found['rss_mb']:,.0f}"])
    if STREAM in figures:
        rate = f"{figures[STREAM]['reviews_per_s']:,.0f}"
        grid.append([STREAM, "the worker, exactly-once, in the same run", *[""] * 3 * len(clients), rate, ""])
    return grid
