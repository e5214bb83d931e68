"""`python -m deploy.grafana.pictures`: draws the dashboards' panels from what a Prometheus says, as PNG files.

Not Grafana's look, but its queries, units, thresholds and layout, and real data: for documents, and to look at a change
of a board without a Grafana.
"""

import json
import math
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from deploy.grafana.boards import BOARDS
from deploy.grafana.panel import Board, Panel
from deploy.page import fetch
from schemas.command_line.options import Option
from schemas.command_line.page import Page
from schemas.command_line.program import Command
from schemas.command_line.program import run as run_program

mpl.use("agg")
_COLUMNS: Final = 24
_POINTS: Final = 120
_INTERVALS: Final = {"$__rate_interval": "30s", "$__interval": "15s", "$__range": "5m", "$app": ".*"}
_BETWEEN: Final = " / "  # the row and the column of a matrix's cell
_COLOURS: Final = {"green": "#56a64b", "yellow": "#e0b400", "orange": "#ff780a", "red": "#e02f44", "blue": "#3274d9"}
Line = tuple[str, list[tuple[float, float]]]  # its legend, and times with values


class Source:
    """A Prometheus, and the period that is drawn."""

    def __init__(self, url: str, job: str, minutes: float) -> None:
        self._url = url.rstrip("/")
        self._job = job
        self._end = time.time()
        self._start = self._end - minutes * 60

    def lines(self, panel: Panel) -> list[Line]:
        """Return the series of a panel, with the legends that it gives them.

        Raises:
            ValueError: Prometheus refuses a query.
        """
        found = []
        for expr, legend in panel.queries:
            query = expr
            for name, value in {"$job": self._job, **_INTERVALS}.items():
                query = query.replace(name, value)
            span = {"start": self._start, "end": self._end, "step": (self._end - self._start) / _POINTS}
            status, body = fetch(f"{self._url}/api/v1/query_range?{urlencode({'query': query, **span})}")
            if status != 200:
                raise ValueError(f"{panel.title}: {body or 'no answer'}")
            for series in json.loads(body)["data"]["result"]:
                points = [(float(at), float(value)) for at, value in series["values"]]
                found.append(
                    (
                        _legend(legend, series["metric"], panel.matrix),
                        [point for point in points if math.isfinite(point[1])],
                    )
                )
        return [line for line in found if line[1]]


def _legend(text: str, labels: dict[str, str], matrix: tuple[str, str] | None) -> str:
    if matrix is not None:
        return _BETWEEN.join(labels.get(name, "") for name in matrix)
    for name, value in labels.items():
        text = text.replace("{{" + name + "}}", value)
    return text


def shown(value: float, panel: Panel) -> str:
    """Return a value with its unit, about as Grafana writes it."""
    if panel.unit in {"percentunit", "percent"}:
        return f"{value * (100 if panel.unit == 'percentunit' else 1):.1f}%"
    if panel.unit == "s":
        return f"{value * 1000:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"
    if panel.unit == "bytes":
        return f"{value / 2**20:.4g} MiB"
    return f"{value:,.{panel.decimals}f}" if panel.decimals is not None else f"{value:,.4g}"


def _colour(value: float, panel: Panel) -> str:
    reached = [name for least, name in panel.thresholds if least is None or value >= least]
    return _COLOURS.get(reached[-1], reached[-1]) if reached else "#3274d9"


def draw(board: Board, source: Source, path: Path) -> None:
    """Write a picture of a board."""
    places = list(_places(board))
    rows = max(top + panel.height for panel, _, top in places)
    figure = plt.figure(figsize=(16, rows * 0.42 + 0.5), dpi=80)
    figure.suptitle(board.title, x=0.01, ha="left", fontsize=13)
    for panel, left, top in places:
        unit = 0.95 / rows
        box = (left / _COLUMNS + 0.03, 0.955 - (top + panel.height) * unit + 0.9 * unit)
        axes = figure.add_axes((*box, panel.width / _COLUMNS - 0.045, (panel.height - 2) * unit))
        axes.set_title(panel.title, fontsize=9, loc="left")
        axes.tick_params(labelsize=7)
        _draw_panel(axes, panel, source.lines(panel))
    figure.savefig(path)
    plt.close(figure)


def _draw_panel(axes: Axes, panel: Panel, lines: Sequence[Line]) -> None:
    if panel.kind in {"stat", "table"} or not lines:
        axes.set_axis_off()
    if panel.kind == "text":
        text = textwrap.fill(panel.content, 100, replace_whitespace=False)
        axes.text(0, 1, text, va="top", fontsize=8, transform=axes.transAxes)
    elif not lines:
        axes.text(0.5, 0.5, panel.empty, ha="center", va="center", fontsize=9, color="#888", transform=axes.transAxes)
    elif panel.kind == "stat":
        _, points = lines[0]
        text = lines[0][0] if panel.text == "name" else shown(points[-1][1], panel)
        size, colour = (10 if len(text) > 12 else 20), _colour(points[-1][1], panel)
        axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=size, color=colour, transform=axes.transAxes)
    elif panel.kind == "table":
        _draw_matrix(axes, panel, {legend: points[-1][1] for legend, points in lines})
    elif panel.kind == "heatmap":
        _draw_buckets(axes, lines)
    else:
        _draw_lines(axes, panel, lines)


def _draw_matrix(axes: Axes, panel: Panel, cells: Mapping[str, float]) -> None:
    rows, columns = (sorted({cell.split(_BETWEEN)[at] for cell in cells}) for at in (0, 1))
    text = [[shown(cells.get(f"{row}{_BETWEEN}{column}", 0.0), panel) for column in columns] for row in rows]
    axes.table(cellText=text, rowLabels=rows, colLabels=columns, bbox=Bbox.from_bounds(0.05, 0, 0.95, 0.95))


def _draw_buckets(axes: Axes, lines: Sequence[Line]) -> None:
    """Draw a histogram over time; each series counts what is at most its legend."""
    ordered = sorted(lines, key=lambda line: float(line[0]))
    times = sorted({at for _, points in ordered for at, _ in points})
    upto = [[dict(points).get(at, 0.0) for at in times] for _, points in ordered]
    within = [[max(0.0, here - below) for here, below in zip(row, under, strict=True)]
              for row, under in zip(upto, [[0.0] * len(times), *upto], strict=False)]  # fmt: skip
    axes.pcolormesh([(at - times[-1]) / 60 for at in times], range(len(ordered)), within, cmap="Blues")
    axes.set_yticks(range(len(ordered)), [f"{legend} s" for legend, _ in ordered], fontsize=5)
    axes.xaxis.set_major_formatter(lambda value, _at: f"{value:.3g} min")


def _draw_lines(axes: Axes, panel: Panel, lines: Sequence[Line]) -> None:
    last = max(points[-1][0] for _, points in lines)
    stacked = [line for line in lines if panel.stacking != "none" and line[0] != panel.apart]
    for legend, points in [line for line in lines if line not in stacked]:
        minutes, values = [(at - last) / 60 for at, _ in points], [value for _, value in points]
        axes.plot(minutes, values, "--" if legend == panel.apart else "-", label=legend, linewidth=1)
    if stacked:
        times = sorted({at for _, points in stacked for at, _ in points})
        layers = [[dict(points).get(at, 0.0) for at in times] for _, points in stacked]
        legends = [legend for legend, _ in stacked]
        axes.stackplot([(at - last) / 60 for at in times], layers, labels=legends, alpha=0.7)
    axes.set_ylim(bottom=panel.minimum)
    axes.set_ylim(top=axes.get_ylim()[1] * 1.25)  # the legend is above the lines
    axes.yaxis.set_major_formatter(lambda value, _at: shown(value, panel))
    axes.xaxis.set_major_formatter(lambda value, _at: f"{value:.3g} min")
    axes.locator_params(nbins=5)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=6, loc="upper left", ncols=2, framealpha=0.5)


def _places(board: Board) -> Any:
    """Yield each panel with its column and row, as `render` places them: from left to right, as far as they fit."""
    left = top = height = 0
    for section in board.sections:
        for panel in section.panels:
            if left + panel.width > _COLUMNS:
                left, top, height = 0, top + height, 0
            yield panel, left, top
            left, height = left + panel.width, max(height, panel.height)
        left, top, height = 0, top + height, 0


def main(argv: list[str] | None = None) -> int:
    """Draw the boards."""
    page = Page(
        "Draw the dashboards from what a Prometheus says, as PNG files.",
        "  python -m deploy.grafana.pictures --prometheus http://localhost:9090 --out pictures/",
        exit_codes="  0  done    1  a query was refused    2  wrong usage",
    )
    own = [
        Option("--prometheus", default="http://localhost:9090", help="its address"),
        Option("--job", default="starstream-worker", help="the job of the workers"),
        Option("--minutes", type=float, default=15.0, help="the period that is drawn, until now"),
        Option("--out", type=Path, default=Path("pictures"), help="folder of the files"),
        Option("--board", multiple=True, help="only these, by name"),
    ]
    return run_program(Command("python -m deploy.grafana.pictures", page, _run, own), argv)


def _run(own: dict[str, Any], _settings: dict[str, Any]) -> int:
    source = Source(own["prometheus"], own["job"], own["minutes"])
    own["out"].mkdir(parents=True, exist_ok=True)
    for name, board in BOARDS.items():
        if not own["board"] or name in own["board"]:
            try:
                draw(board, source, own["out"] / f"{name}.png")
            except ValueError as error:
                print(error, file=sys.stderr)
                return 1
            print(own["out"] / f"{name}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
