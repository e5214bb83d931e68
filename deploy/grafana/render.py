"""Turns our boards into Grafana's JSON, with Grafana's own library of types.

Owns everything that all panels have in common: the data source, the variables, the events, where a panel stands, and
the links: to the other dashboards, and from each panel to its entry of the runbook.
"""

import json
from collections.abc import Iterable
from typing import Any

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    text,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmaps
from grafana_foundation_sdk.models import prometheus as queries
from grafana_foundation_sdk.models import text as texts

from deploy.grafana.panel import Board, Panel

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
# Of workers only: a pattern for all jobs would match Prometheus itself.
JOBS = 'label_values(starstream_ready{source=""}, job)'
# Where compose serves deploy/RUNBOOK.md; another Grafana sets the variable `runbook` to its own address.
RUNBOOK = "/public/starstream/RUNBOOK.md"
# Where `starstream-worker serve` answers; elsewhere a person types its address into the variable `page`.
PAGE = "http://localhost:8080"
_COLUMNS = 24
# What is drawn over the panels: the colour, the query, the text.
EVENTS = {
    "New model": (
        "purple",
        (
            'count by (model_version) (starstream_model_info{job=~"$job"} == 1) unless '
            'count by (model_version) (starstream_model_info{job=~"$job"} offset 2m == 1)'
        ),
        "{{model_version}}",
    ),
    "Model refused": (
        "red",
        (
            'max by (role) (starstream_model_refused{job=~"$job"}) == 1 unless '
            'max by (role) (starstream_model_refused{job=~"$job"} offset 2m) == 1'
        ),
        "{{role}}",
    ),
    "Canary stopped": (
        "orange",
        'sum by (reason) (increase(starstream_canary_returns_total{job=~"$job"}[1m])) > 0',
        "{{reason}}",
    ),
    "Candidate in shadow": (
        "blue",
        (
            'count by (model_version) (starstream_shadow_info{job=~"$job"} == 1) unless '
            'count by (model_version) (starstream_shadow_info{job=~"$job"} offset 2m == 1)'
        ),
        "{{model_version}}",
    ),
}


def render(board: Board, others: Iterable[Board]) -> str:
    """Return the JSON of a dashboard; `others` are linked at its top."""
    made = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.question)
        .tags(["starstream"])
        .refresh("10s")
        .time(board.since, "now")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(_filter("job", "Job", JOBS))
        .with_variable(dashboard.ConstantVariable("runbook").value(RUNBOOK))
    )
    for name, label, query in board.filters:
        made.with_variable(_filter(name, label, query))
    if any("${page}" in f"{panel.content}{panel.link}" for panel in board.panels):
        made.with_variable(dashboard.TextBoxVariable("page").label("Address of serve").default_value(PAGE))
    for other in others:
        link = dashboard.DashboardLink(other.title).type(models.DashboardLinkType.LINK).url(f"/d/{other.uid}")
        made.link(link.icon("dashboard").tooltip(other.question).include_vars(True).keep_time(True))
    for event in board.events:
        colour, expr, _ = EVENTS[event]
        drawn = dashboard.AnnotationQuery().name(event).datasource(SOURCE).enable(True).hide(False)
        made.annotation(drawn.icon_color(colour).expr(expr))
    _place(made, board)
    return _finished(json.loads(JSONEncoder(sort_keys=True).encode(made.build())))


def _filter(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """Return a variable with the values of a query, of which all are chosen."""
    asked = {"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"}
    made = dashboard.QueryVariable(name).label(label).datasource(SOURCE).query(asked)
    made.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC)
    made.multi(True).include_all(True)
    return made.current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))


def _finished(board: dict[str, Any]) -> str:
    """Add what Grafana reads and its library does not know: the texts of events, and a query's definition."""
    for event in board["annotations"]["list"]:
        if event["name"] in EVENTS:
            event |= {"titleFormat": event["name"], "textFormat": EVENTS[event["name"]][2], "step": "60s"}
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            variable["definition"] = variable["query"]["query"]
    return json.dumps(board, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _place(made: dashboard.Dashboard, board: Board) -> None:
    """Lay the panels out like words: from left to right, and down when a line is full."""
    number, top = 1, 0
    for section in board.sections:
        if section.heading:
            row = dashboard.Row(section.heading).id(number)
            made.with_row(row.grid_pos(models.GridPos(h=1, w=_COLUMNS, x=0, y=top)))
            number, top = number + 1, top + 1
        left = tallest = 0
        for panel in section.panels:
            if left + panel.width > _COLUMNS:
                left, top, tallest = 0, top + tallest, 0
            place = models.GridPos(h=panel.height, w=panel.width, x=left, y=top)
            made.with_panel(_panel(panel).id(number).grid_pos(place))
            number, left, tallest = number + 1, left + panel.width, max(tallest, panel.height)
        top += tallest


def _panel(panel: Panel) -> Any:
    if panel.kind == "text":
        made = text.Panel().title(panel.title).description(panel.description)
        return made.mode(texts.TextMode.MARKDOWN).content(panel.content)
    build = {
        "timeseries": _lines,
        "stat": _tile,
        "heatmap": _heatmap,
        "state-timeline": _states,
        "table": _matrix,
    }[panel.kind]
    made = build(panel).title(panel.title).description(panel.description).datasource(SOURCE).no_value(panel.empty)
    for number, (expr, legend) in enumerate(panel.queries):
        now = panel.kind in {"stat", "table"}  # the last value of a range can be an hour old
        shape = {"heatmap": "heatmap", "table": "table"}.get(panel.kind, "time_series")
        target = prometheus.Dataquery().ref_id(chr(ord("A") + number)).datasource(SOURCE).expr(expr)
        (target.instant() if now else target.range()).legend_format(legend).format(queries.PromQueryFormat(shape))
        made.with_target(target.editor_mode(queries.QueryEditorMode.CODE))
    entry = f"#{panel.see.lower()}" if panel.see else ""
    link = dashboard.DashboardLink(f"Runbook: {panel.see or 'all alerts'}").type(models.DashboardLinkType.LINK)
    made.links([link.url(f"${{runbook}}{entry}").target_blank(True)])
    if panel.link is not None:
        made.data_links([dashboard.DashboardLink(panel.link[0]).url(panel.link[1])])
    for legend, colour in panel.colors.items():
        made.override_by_name(legend, _override(legend, colour, panel))
    if panel.apart and panel.apart not in panel.colors:
        made.override_by_name(panel.apart, _override(panel.apart, "", panel))
    return made


def _override(legend: str, colour: str, panel: Panel) -> list[models.DynamicConfigValue]:
    values: dict[str, object] = {"color": {"mode": "fixed", "fixedColor": colour}} if colour else {}
    if legend == panel.apart:
        values |= {
            "custom.stacking": {"group": "B", "mode": "none"},
            "custom.fillOpacity": 0,
            "custom.lineStyle": {"fill": "dash", "dash": [8, 8]},
        }
    return [models.DynamicConfigValue(id_val=name, value=value) for name, value in values.items()]


def _numbers(made: Any, panel: Panel) -> Any:
    made.unit(panel.unit)
    if panel.decimals is not None:
        made.decimals(panel.decimals)
    return made


def _lines(panel: Panel) -> Any:
    table_legend = bool(panel.calculations)
    legend = common.VizLegendOptions().show_legend(True).calcs(list(panel.calculations))
    legend.display_mode(kinds.LegendDisplayMode.TABLE if table_legend else kinds.LegendDisplayMode.LIST)
    legend.placement(kinds.LegendPlacement.RIGHT if table_legend else kinds.LegendPlacement.BOTTOM)
    made = timeseries.Panel().min(panel.minimum).axis_soft_min(panel.minimum).fill_opacity(panel.fill).line_width(1)
    made.show_points(kinds.VisibilityMode.NEVER).span_nulls(False).draw_style(kinds.GraphDrawStyle.LINE)
    made.stacking(common.StackingConfig().group("A").mode(kinds.StackingMode(panel.stacking)))
    made.color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC)).legend(legend)
    made.tooltip(common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING))
    if panel.maximum is not None:
        made.max(panel.maximum)
    return _numbers(made, panel)


def _tile(panel: Panel) -> Any:
    steps = [models.Threshold(value=value, color=colour) for value, colour in panel.thresholds]
    made = stat.Panel().graph_mode(kinds.BigValueGraphMode.NONE).wide_layout(True)
    made.thresholds(dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
    made.color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
    made.color_mode(kinds.BigValueColorMode.BACKGROUND if panel.coloured else kinds.BigValueColorMode.VALUE)
    made.text_mode(kinds.BigValueTextMode(panel.text))
    made.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    return _numbers(made, panel)


def _heatmap(_panel: Panel) -> Any:
    colours = heatmap.HeatmapColorOptions().mode(heatmaps.HeatmapColorMode.SCHEME).scheme("Turbo").steps(64)
    colours.scale(heatmaps.HeatmapColorScale.EXPONENTIAL).exponent(0.5)
    made = (
        heatmap.Panel().calculate(False).show_value(kinds.VisibilityMode.NEVER).cell_gap(1).color(colours).show_legend()
    )
    return made.y_axis(heatmap.YAxisConfig().unit("s")).cell_values(heatmap.CellValues().unit("short"))


def _states(panel: Panel) -> Any:
    made = statetimeline.Panel().merge_values(True).fill_opacity(70).line_width(0)
    made.show_value(kinds.VisibilityMode.NEVER).legend(common.VizLegendOptions().show_legend(False))
    made.color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    serves = models.ValueMappingResult(text="serves", index=0)
    return _numbers(made.mappings([models.ValueMap(options={"1": serves})]), panel)


def _matrix(panel: Panel) -> Any:
    rows, columns = panel.matrix or ("", "")
    cells = kinds.TableColoredBackgroundCellOptions(mode=kinds.TableCellBackgroundDisplayMode.GRADIENT)
    made = table.Panel().align(kinds.FieldTextAlignment.CENTER).cell_options(cells)
    made.color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.CONTINUOUS_BL_PU))
    options = {"rowField": rows, "columnField": columns, "valueField": "Value", "emptyValue": "zero"}
    made.with_transformation(models.DataTransformerConfig(id_val="groupingToMatrix", options=options))
    plain = models.DynamicConfigValue(id_val="custom.cellOptions", value={"type": "auto"})
    made.override_by_name(f"{rows}\\{columns}", [plain])
    return _numbers(made, panel)
