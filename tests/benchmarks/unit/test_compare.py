"""What is a change: more than the runs' spread, then and now."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.starter import starter_version
from tests.benchmarks.catalogue import PROGRAMS
from tests.benchmarks.compare import BARE, FILE, Ratios, change, grid, main, read, verdict

THEN = Ratios((1.00, 1.04, 1.02))  # median 1.02, spread 0.04


@pytest.mark.parametrize(
    ("now", "grown"),
    [
        ((1.02, 1.02, 1.02), 0.0),
        ((1.05, 1.05, 1.05), 0.0),  # 0.03 more: within the spread of then
        ((1.10, 1.10, 1.10), 0.08 / 1.02),
        ((0.90, 0.90, 0.90), -0.12 / 1.02),
        ((1.00, 1.10, 1.20), 0.0),  # 0.08 more, but its own runs lie 0.20 apart
        ((1.20, 1.10, 1.15), 0.13 / 1.02),  # 0.13 more, and its runs lie 0.10 apart
    ],
)
def test_a_change_is_larger_than_the_spread_of_either(now: tuple[float, ...], grown: float) -> None:
    assert change(THEN, Ratios(now)) == pytest.approx(grown)


def test_the_table_says_what_costs_more_and_less_and_what_is_new() -> None:
    now = {
        "worker": Ratios((1.10, 1.11, 1.12)),
        "worker_at_least_once": Ratios((0.80, 0.81, 0.82)),
        "worker_confluent": Ratios((1.01, 1.02, 1.03)),
        "worker_confluent_at_least_once": Ratios((2.0, 2.0, 2.0)),
    }
    rows = grid(dict.fromkeys(("worker", "worker_at_least_once", "worker_confluent"), THEN), now)[1:]
    assert rows[0] == [
        "worker",
        "bare_exactly_once",
        "1.020 (1.000 to 1.040)",
        "1.110 (1.100 to 1.120)",
        "+8.8%: costs more",
    ]
    assert [row[-1] for row in rows[1:]] == ["-20.6%: costs less", "within the spread", "not measured before"]


def test_each_row_is_held_against_the_bare_client_of_its_own_library_and_delivery() -> None:
    programs = {program.name: program for program in PROGRAMS}
    for row, bare in BARE.items():
        assert programs[row].exactly_once == programs[bare].exactly_once
        assert ("confluent" in programs[row].flags) == (programs[bare].module == "bare_confluent")


def test_what_is_kept_has_every_row_and_enough_runs_to_know_their_spread() -> None:
    rows = read(FILE).rows
    assert rows.keys() == BARE.keys()
    assert all(len(ratios.values) >= 3 and ratios.spread > 0 for ratios in rows.values())


def test_what_was_kept_is_read(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    assert read(path) == ("never", "nothing", {})
    said = {"measured_at": "2026-01-02", "machine": {"cpu": "A CPU", "cores": 2}, "setting": "9 sentences"}
    path.write_text(json.dumps({**said, "rows": {"worker": [1.0, 1.04, 1.02]}}), encoding="utf-8")
    assert read(path) == ("2026-01-02 on A CPU, 2 cores", "9 sentences", {"worker": THEN})


def test_ratios_of_another_number_of_reviews_are_not_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--reviews", "9"]) == 2
    assert "compare: what was kept is of something else" in capsys.readouterr().out


def test_what_is_kept_is_of_the_starter_that_is_shipped() -> None:
    assert read(FILE).setting.endswith(f"starter {starter_version()}")


@pytest.mark.parametrize(
    ("now", "kept", "code"),
    [
        ({"worker": THEN}, False, 0),
        ({"worker": Ratios((1.10, 1.11, 1.12))}, False, 1),
        ({"worker": Ratios((0.80, 0.81, 0.82))}, False, 0),
        ({"worker_confluent": THEN}, False, 2),  # nothing to compare with
        ({"worker_confluent": THEN}, True, 0),
        ({"worker": Ratios((1.10, 1.11, 1.12)), "worker_confluent": THEN}, False, 1),
    ],
)
def test_only_what_was_compared_and_costs_no_more_passes(now: dict[str, Ratios], kept: bool, code: int) -> None:
    assert verdict({"worker": THEN}, now, kept=kept) == code
