"""The sizing: its arithmetic on round figures, and deploy/README.md has what the command prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.report import JSON
from tests.benchmarks.sizing import ASSUMED, BEGIN, END, README, main, needs, number, size

MEASURED = {
    "reviews_per_s": 10_000.0,
    "cpu_us_per_review": 50.0,
    "broker_cpu_us_per_review": 10.0,
    "redis_cpu_us_per_review": 20.0,
    "rss_mb": 100.0,
}
ROUND = {name: assumption.value for name, assumption in ASSUMED.items()} | {
    "headroom": 0.5,
    "review_bytes": 400.0,
    "rating_bytes": 600.0,
    "redis_bytes": 1000.0,
    "ttl_days": 1.0,
    "apps": 100_000.0,
    "trend_bytes": 50.0 / 3,
    "trend_days": 250.0,
    "retention_days": 1.0,
}


def test_needs_of_100k_reviews_a_second_follow_from_the_rates() -> None:
    assert needs(1e5, MEASURED, ROUND) == pytest.approx(
        {
            "worker_cores": 5,
            "processes": 20,
            "worker_bytes": 2e9,
            "partitions": 40,
            "redis_bytes": 8.64e12,
            "trend_bytes": 1e10,
            "redis_cores": 2,
            "redis_by_memory": 136,
            "redis_by_cpu": 3,
            "log_bytes_per_s": 3e8,
            "log_bytes": 2.592e13,
            "broker_cores": 3,
            "brokers": 3,
        }
    )


@pytest.mark.parametrize(
    ("scarce", "brokers"),
    [({"broker_mb_s": 30.0}, 10), ({"broker_disk_tb": 1.0}, 26), ({"broker_cores": 1.0}, 6), ({"replication": 20}, 20)],
)
def test_brokers_are_as_many_as_the_scarcest_resource_needs(scarce: dict[str, float], brokers: int) -> None:
    assert needs(1e5, MEASURED, ROUND | scarce)["brokers"] == brokers


def test_a_small_stream_gets_the_least_of_everything() -> None:
    small = needs(1, MEASURED, ROUND)
    assert (small["processes"], small["partitions"], small["redis_by_memory"], small["brokers"]) == (2, 6, 1, 3)


def test_numbers_have_three_digits_and_the_largest_unit() -> None:
    assert [number(0.06652), number(9.5), number(1320.4)] == ["0.0665", "9.5", "1,320"]
    assert [size(950), size(2.19e6), size(1.76e16)] == ["950 B", "2.19 MB", "17.6 PB"]


def test_readme_has_what_the_command_prints_and_every_assumption(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert printed == README.read_text(encoding="utf-8").partition(f"{BEGIN}\n")[2].partition(END)[0]
    assert [name for name, assumption in ASSUMED.items() if f"`{name}`" not in printed or not assumption.reason] == []


def test_an_assumption_is_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--ttl-days", "2"]) == 0
    assert "`ttl_days` 2 days" in capsys.readouterr().out


@pytest.mark.parametrize("without", ["rss_mb", "reviews_per_s"])
def test_a_figure_that_was_not_measured_ends_with_code_2(
    without: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = json.loads(JSON.read_text(encoding="utf-8"))
    for row in bench["rows"]:
        row.pop(without, None)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(bench), encoding="utf-8")
    assert main(["--results", str(path)]) == 2
    assert f"row `worker` of results.json has no {without}" in capsys.readouterr().err
    assert main(["--results", str(tmp_path / "none.json")]) == 2
