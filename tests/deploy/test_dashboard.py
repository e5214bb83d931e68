"""The dashboards as files: valid for provisioning, and in step with compose. tests/integration runs their queries."""

from __future__ import annotations

import re
from typing import Any

import promql_parser
import pytest
import yaml

from deploy.grafana.__main__ import files
from deploy.grafana.boards import BOARDS as CODE
from deploy.grafana.links import alerts, panels_of
from deploy.grafana.render import RUNBOOK as ADDRESS
from tests.deploy.assets import (
    ROOT,
    RUNBOOK,
    Query,
    compose,
    dashboard_queries,
    dashboards,
    drawn_events,
    panels,
    selectors,
)

PANELS = panels()
PROVISIONING = ROOT / "deploy/grafana/provisioning"
BOARDS = dashboards()
each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)


@each_board
def test_dashboard_is_stored_as_provisioned(board: dict[str, Any]) -> None:
    assert not {"id", "__inputs", "__requires"} & set(board), "an id belongs to one Grafana's database"
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    own = {"app", "page"} if board["uid"] == "starstream-apps" else set()
    assert set(variables) == {"datasource", "job", "runbook"} | own
    assert variables["datasource"]["query"] == "prometheus"
    assert variables["job"]["query"]["query"] == variables["job"]["definition"]
    assert variables["job"]["definition"] == 'label_values(starstream_ready{source=""}, job)', "jobs of workers only"
    assert "allValue" not in variables["job"], "a pattern for all would match Prometheus itself"
    ids = [panel["id"] for panel in board["panels"]]
    ids += [inner["id"] for panel in board["panels"] for inner in panel.get("panels", [])]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])
def test_panel_says_what_it_shows_and_queries_the_chosen_data_source(panel: dict[str, Any]) -> None:
    assert panel["description"]
    assert len(panel["fieldConfig"]["defaults"]["noValue"]) > 1 or panel["type"] == "stat", "an empty panel says why"
    assert panel["targets"]
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    for target in panel["targets"]:
        assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize("query", [*dashboard_queries(), *drawn_events()], ids=lambda query: query.where)
def test_query_selects_the_job_and_has_no_variable_left(query: Query) -> None:
    assert "$" not in query.expr
    for selector in selectors(query.expr):
        front = selector.startswith("starstream_rest_") or 'source="rest"' in selector  # a job of its own
        assert front or 'job=~"starstream-worker"' in selector or selector.startswith("ALERTS{"), selector


def test_a_tile_shows_now_and_no_latency_is_nan() -> None:
    """The last value of a range can be an hour old; the quantile of nothing is NaN, and NaN >= 0 is nothing."""
    for panel in PANELS:
        for target in panel["targets"]:
            assert panel["type"] != "stat" or (target["instant"], target["range"]) == (True, False), panel["title"]
            assert "histogram_quantile" not in target["expr"] or target["expr"].endswith(">= 0"), panel["title"]
        assert "lastNotNull" not in panel.get("options", {}).get("legend", {}).get("calcs", []), panel["title"]


def test_rates_use_the_interval_grafana_picks() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            # A table shows one sum over the selected time.
            wanted = {"$__range"} if panel["type"] == "table" else {"$__rate_interval"}
            assert set(re.findall(r"\[([^\]]+)\]", target["expr"])) <= wanted, panel["title"]


def test_provisioned_paths_are_those_compose_mounts() -> None:
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards/starstream.yml").read_text(encoding="utf-8"))["providers"]
    grafana = compose()["services"]["grafana"]
    mounted = dict(volume.split(":")[:2] for volume in grafana["volumes"])
    assert mounted["./deploy/grafana/dashboards"] == provider["options"]["path"]
    assert mounted["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/starstream.json"


def test_provisioned_data_source_is_the_prometheus_of_compose_with_its_scrape_interval() -> None:
    (source,) = yaml.safe_load((PROVISIONING / "datasources/prometheus.yml").read_text(encoding="utf-8"))["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in compose()["services"]
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    assert source["jsonData"]["timeInterval"] == scraped["global"]["scrape_interval"]


def test_what_is_no_metric_is_a_text_that_leads_to_the_page() -> None:
    board = BOARDS["apps"]
    (text,) = (panel for panel in board["panels"] if panel["type"] == "text")
    assert "](${page}/)" in text["options"]["content"]
    drawn = [panel for panel in board["panels"] if panel is not text]
    linked = [link for panel in drawn for link in panel["fieldConfig"]["defaults"].get("links", [])]
    assert [link["url"] for link in linked] == ["${page}/?app=${__field.labels.app_id}&by=version&words=version"] * 2
    (page,) = (variable for variable in board["templating"]["list"] if variable["name"] == "page")
    assert (page["type"], page["query"]) == ("textbox", "http://localhost:8080")
    queries = [target["expr"] for panel in drawn for target in panel["targets"]]
    assert all('app_id=~"$app"' in query for query in queries), "the choice of apps holds for every panel"


def test_files_are_what_the_code_writes() -> None:
    differing = [path.name for path, text in files().items() if path.read_text(encoding="utf-8") != text]
    assert differing == [], "python -m deploy.grafana --write"
    assert {path.stem for path in (ROOT / "deploy/grafana/dashboards").iterdir()} == set(CODE)


@pytest.mark.parametrize("query", [*dashboard_queries(), *drawn_events()], ids=lambda query: query.where)
def test_query_is_promql(query: Query) -> None:
    promql_parser.parse(query.expr)


def test_the_parser_refuses_a_query_with_a_typing_mistake() -> None:
    with pytest.raises(ValueError, match="unclosed"):
        promql_parser.parse("sum(rate(x[1m])")


def test_the_overview_fits_one_screen_and_leads_to_the_others() -> None:
    overview = BOARDS["starstream"]
    assert max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in overview["panels"]) <= 20
    assert len(overview["panels"]) <= 12
    others = {f"/d/{board['uid']}" for name, board in BOARDS.items() if name != "starstream"}
    assert {link["url"] for link in overview["links"]} == others
    for board in BOARDS.values():
        assert len(board["links"]) == len(BOARDS) - 1
        assert all(link["includeVars"] and link["keepTime"] for link in board["links"])


@each_board
def test_no_two_panels_stand_on_one_another(board: dict[str, Any]) -> None:
    cells: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not own & cells, panel["title"]
        cells |= own


def test_titles_are_unique_because_the_runbook_names_them() -> None:
    titles = [panel["title"] for panel in PANELS]
    assert len(set(titles)) == len(titles)


def test_every_panel_links_to_its_entry_of_the_runbook() -> None:
    text = RUNBOOK.read_text(encoding="utf-8")
    entries = {f"#{heading.lower()}" for heading in re.findall(r"^### (Starstream\w+)$", text, re.MULTILINE)}
    for panel in PANELS:
        (link,) = panel["links"]
        address, _, entry = link["url"].partition("#")
        assert address == "${runbook}"
        assert not entry or f"#{entry}" in entries, panel["title"]
        assert entry or panel["title"] == "Alerts"


def test_every_alert_leads_to_an_entry_and_to_panels() -> None:
    """Alert, runbook, panel: none without the others."""
    text = RUNBOOK.read_text(encoding="utf-8")
    assert set(re.findall(r"^### (Starstream\w+)$", text, re.MULTILINE)) == set(alerts())
    shown = {panel["title"] for panel in PANELS}
    for alert in alerts():
        row = next(line for line in text.splitlines() if line.startswith(f"| [{alert}](#{alert.lower()}) |"))
        assert panels_of(alert)
        for panel in panels_of(alert):
            assert panel in row
            assert panel.partition(": ")[2] in shown
    known = {*alerts(), ""}
    assert {alert for board in CODE.values() for panel in board.panels for alert in (panel.see, *panel.also)} <= known


def test_the_runbook_is_served_where_the_panels_look_for_it() -> None:
    volumes = dict(volume.split(":")[:2] for volume in compose()["services"]["grafana"]["volumes"])
    assert volumes["./deploy/RUNBOOK.md"] == f"/usr/share/grafana{ADDRESS}"
