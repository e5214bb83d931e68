from __future__ import annotations

import json

import pytest

from tests.benchmarks.machine import Machine, this_machine
from tests.benchmarks.report import (
    BEGIN,
    END,
    README,
    Results,
    Row,
    as_json,
    goal_grid,
    grids,
    latency_grid,
    markdown,
    phase_grid,
    rate_grid,
    spliced,
)

MACHINE = Machine("A CPU", 2, 24.0, 0.25, "Linux 6", "3.11.7")
WORKER = Row(
    "worker",
    "the worker",
    {
        "reviews_per_s": 6123.4,
        "cpu_us_per_review": 152.34,
        "phase_classify_us_per_review": 31.4,
        "idle_topic_p50_ms": 21.04,
        "idle_topic_p99_ms": 64.4,
        "rate2000_topic_p50_ms": 12.04,
        "rate2000_topic_p99_ms": 31.0,
        "rate2000_cpu_us_per_review": 151.2,
        "rate2000_broker_cpu_us_per_review": 40.04,
        "rate2000_redis_cpu_us_per_review": 29.0,
    },
)
RESULTS = Results(
    MACHINE,
    "2026-01-01 00:00 UTC",
    {"runs": "3"},
    [
        WORKER,
        Row("slow", "per review", {"reviews_per_s": 306.17}),
        Row("gone", "a peer", {}, failed="no wheel | here\nmore"),
    ],
)


def test_json_has_one_object_a_row_with_its_ratio_or_its_failure() -> None:
    written = json.loads(json.dumps(as_json(RESULTS)))
    worker, slow, gone = written["rows"]
    assert (worker["name"], worker["ratio"], worker["reviews_per_s"]) == ("worker", 1.0, 6123.0)
    assert slow["ratio"] == 20.0
    assert gone["failed"] == "no wheel | here\nmore"
    assert written["machine"]["cpu"] == "A CPU"


def test_grids_are_rectangular() -> None:
    for grid in grids(RESULTS):
        assert {len(row) for row in grid} == {len(grid[0])}


def test_goals_say_whether_they_are_reached_and_only_of_what_was_measured() -> None:
    rows = [
        Row("worker", "", {"reviews_per_s": 6000.0, "rss_mb": 149.0, "idle_topic_p50_ms": 21.0}),
        Row("naive_tflite", "", {"reviews_per_s": 310.0}),
        Row("bare_exactly_once", "", {"reviews_per_s": 12000.0, "idle_topic_p50_ms": 17.0}),
        Row("quix_exactly_once", "", {"reviews_per_s": 100.0}, failed="no wheel"),
    ]
    assert goal_grid(Results(MACHINE, "now", {}, rows))[1:] == [
        ["kafka-python: times the per-review TFLite worker", ">= 20", "19.4", "no"],
        ["kafka-python: share of what its bare client does", ">= 0.75", "0.5", "no"],
        ["kafka-python: memory of a process, MB", "<= 105", "149", "no"],
        ["kafka-python: p50 of a single review over the bare client's, ms", "<= 2", "4", "no"],
    ]


def test_grids_name_only_rows_that_have_such_figures() -> None:
    assert [row[0] for row in latency_grid(RESULTS)[1:]] == ["worker"]
    assert latency_grid(RESULTS)[1][1] == "21 / 64.4"
    assert [row[0] for row in phase_grid(RESULTS)[1:]] == ["worker"]
    assert rate_grid(RESULTS)[1:] == [["worker", "", "12 / 31; 151 + 40 + 29", ""]]


def test_markdown_names_the_machine_and_escapes_cells() -> None:
    page = markdown(RESULTS)
    assert "A CPU, 2 cores" in page
    assert "failed: no wheel \\| here" in page
    assert "| slow | per review | 306 | 20 x |" in page


def test_splice_replaces_only_what_is_between_the_markers() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert spliced(page, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert spliced(spliced(page, "new"), "new") == spliced(page, "new")


@pytest.mark.parametrize("page", ["", BEGIN, END, f"{END}{BEGIN}"])
def test_splice_refuses_a_page_without_markers(page: str) -> None:
    with pytest.raises(ValueError, match="to write between"):
        spliced(page, "new")


def test_readme_can_take_the_table() -> None:
    assert spliced(README.read_text(encoding="utf-8"), "new")


def test_machine_says_what_it_is() -> None:
    machine = this_machine()
    assert machine.cores >= 1
    assert machine.memory_gb > 0
    assert machine.cpu
