"""What a dashboard is made of, in our words. Next: `render` says it in Grafana's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["timeseries", "stat", "heatmap", "state-timeline", "table", "text"]


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture.

    Args:
        title: what it shows; unique over all dashboards, because the runbook names it.
        description: how to read it, for somebody who sees it for the first time.
        queries: PromQL and the legend of its series; `$job` and `$__rate_interval` are Grafana's. A text has none.
        see: the alert whose entry of the runbook says what to do; empty for the whole runbook.
        also: other alerts that this panel helps to understand.
        unit: Grafana's name of it.
        empty: what it says without data.
        thresholds: the lowest value of a colour; the first is None.
        colors: of a series, by its legend.
        apart: the legend of a series that is not stacked with the others; drawn dashed.
        fill: opacity under a line, percent.
        coloured: whether a tile's background has the colour.
        text: what a tile shows of its series.
        matrix: the labels of a table's rows and columns.
        calculations: columns of the legend; without any it is a line below the picture.
        link: title and address behind each line; `${page}` is the variable of `render`.
        content: of a text, in Markdown.
        width: of Grafana's 24 columns.
        height: in Grafana's rows; a screen has about 20.
    """

    title: str
    description: str
    queries: tuple[tuple[str, str], ...]
    see: str
    empty: str
    also: tuple[str, ...] = ()
    kind: Kind = "timeseries"
    unit: str = "short"
    decimals: int | None = None
    minimum: float = 0
    maximum: float | None = None
    thresholds: tuple[tuple[float | None, str], ...] = ()
    colors: Mapping[str, str] = field(default_factory=dict)
    apart: str = ""
    stacking: Literal["none", "normal", "percent"] = "none"
    fill: int = 0
    coloured: bool = False
    text: Literal["value", "name"] = "value"
    matrix: tuple[str, str] | None = None
    calculations: tuple[str, ...] = ()
    link: tuple[str, str] | None = None
    content: str = ""
    width: int = 12
    height: int = 8


@dataclass(frozen=True, slots=True)
class Section:
    """Panels under a heading; an empty heading is none."""

    heading: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard: the answer to one question.

    Args:
        events: what is drawn over all its panels (`render.EVENTS`).
        filters: name, label and query of variables that its queries use, as `$name`.
        since: where the time that it shows begins.
    """

    uid: str
    title: str
    question: str
    events: tuple[str, ...]
    sections: tuple[Section, ...]
    filters: tuple[tuple[str, str, str], ...] = ()
    since: str = "now-1h"

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All of them, in order."""
        return tuple(panel for section in self.sections for panel in section.panels)
