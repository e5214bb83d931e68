"""The dashboards as files: valid for provisioning, readable, without overlaps. tests/integration runs their queries."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
import yaml

from tests.deploy.assets import ROOT, Query, compose, dashboard_queries, dashboards, drawn_events, panels, selectors

PANELS = panels()
PROVISIONING = ROOT / "deploy/grafana/provisioning"
BOARDS = dashboards()
each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
each_panel = pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])


def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
    at = panel["gridPos"]
    return set(itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])))


def test_dashboards_are_the_stream_and_its_models() -> None:
    assert {name: board["uid"] for name, board in BOARDS.items()} == {
        "models": "starstream-models",
        "starstream": "starstream",
    }


def test_titles_are_unique_over_all() -> None:
    titles = [panel["title"] for panel in PANELS]
    assert len(set(titles)) == len(titles)


@each_board
def test_dashboard_identity_and_schema(board: dict[str, Any]) -> None:
    assert "id" not in board, "an id belongs to one Grafana's database"
    assert board["schemaVersion"] == 42  # of @grafana/schema 13
    assert not {"__inputs", "__requires"} & set(board), "exported for sharing, not for provisioning"


@each_board
def test_dashboard_variables_are_the_data_source_and_the_job(board: dict[str, Any]) -> None:
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert set(variables) == {"datasource", "job"}
    assert variables["datasource"]["query"] == "prometheus"
    assert variables["job"]["query"]["query"] == variables["job"]["definition"]


@each_board
def test_panel_ids_are_unique(board: dict[str, Any]) -> None:
    ids = [panel["id"] for panel in board["panels"]]
    ids += [inner["id"] for panel in board["panels"] for inner in panel.get("panels", [])]
    assert len(set(ids)) == len(ids)


@each_board
def test_panels_do_not_overlap_and_fit_the_grid(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        assert not taken & cells(panel), panel["title"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24, panel["title"]
        taken |= cells(panel)


@each_panel
def test_panel_has_a_description(panel: dict[str, Any]) -> None:
    assert len(panel["description"]) > 20
    assert panel["title"]


@each_panel
def test_panel_queries_are_complete(panel: dict[str, Any]) -> None:
    assert panel["targets"]
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    for target in panel["targets"]:
        assert target["expr"].strip()
        assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@each_panel
def test_panel_values_have_a_unit(panel: dict[str, Any]) -> None:
    if panel["type"] == "heatmap":
        assert panel["options"]["yAxis"]["unit"] == "s"
    elif panel["type"] != "state-timeline":
        assert panel["fieldConfig"]["defaults"]["unit"]


@pytest.mark.parametrize("query", [*dashboard_queries(), *drawn_events()], ids=lambda query: query.where)
def test_query_selects_the_job_and_has_no_variable_left(query: Query) -> None:
    assert "$" not in query.expr
    for selector in selectors(query.expr):
        assert 'job=~"starstream-worker"' in selector or selector.startswith("ALERTS{"), selector


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
