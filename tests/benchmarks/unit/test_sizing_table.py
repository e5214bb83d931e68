from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.corpus import Corpus
from tests.benchmarks.report import spliced
from tests.benchmarks.sizing.__main__ import README, main
from tests.benchmarks.sizing.assumptions import Assumptions, described
from tests.benchmarks.sizing.measured import RecordSizes, RedisCost, RedisCosts, SizingError, read_bench
from tests.benchmarks.sizing.memory import settings_of
from tests.benchmarks.sizing.records import rated_reviews, sizes
from tests.benchmarks.sizing.strains import sentences, strains
from tests.benchmarks.sizing.table import BEGIN, END, RATES, page, plans_of
from tests.benchmarks.sizing.words import count, number, rate, size, span

RESULTS = Path(__file__).parents[2] / "fixtures" / "bench_results.json"
GIVEN = Assumptions()
SIZES = RecordSizes("made up", 1, review_value=250, review_record=300, rating_value=370, rating_record=450)
COSTS = RedisCosts("7", 1, single=RedisCost(700, 40, 10), cluster=RedisCost(600, 50, 30))
CORPUS = Corpus("made up", ["love it", "crashes all day, ü 🙂"])


def changed(tmp_path: Path, row: str, **figures: Any) -> Path:
    """Return the fixture's copy with figures of a row replaced; None takes one out."""
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    rows = found["rows"]
    asked = next(each for each in rows if each["name"] == row)
    asked.update(figures)
    for name in [name for name, value in figures.items() if value is None]:
        del asked[name]
    path = tmp_path / "results.json"
    path.write_text(json.dumps(found), encoding="utf-8")
    return path


def test_bench_is_read_from_its_two_rows() -> None:
    bench = read_bench(RESULTS)
    assert [each.reviews_per_s for each in bench.clients.values()] == [5_000, 20_000]
    assert bench.clients["confluent-kafka"].rss_mb == 250
    assert (bench.measured_at, bench.machine) == ("2026-01-01 00:00 UTC", "A CPU, 2 cores")


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"name": "other"}, "no row `worker_confluent`"),
        ({"failed": "it died\nmore"}, r"the row `worker_confluent` failed \(it died\)"),
        ({"rss_mb": None, "idle_topic_p50_ms": None}, "has no rss_mb, idle_topic_p50_ms"),
        ({"reviews_per_s": 0}, "has no reviews_per_s"),
    ],
)
def test_what_was_not_measured_is_named(tmp_path: Path, figures: dict[str, Any], said: str) -> None:
    with pytest.raises(SizingError, match=said):
        read_bench(changed(tmp_path, "worker_confluent", **figures))


@pytest.mark.parametrize("content", [None, "{"])
def test_command_ends_with_2_and_one_line_without_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    path = tmp_path / "results.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    assert main(["--results", str(path), "--write", "--readme", str(tmp_path / "README.md")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("sizing: results.json ")
    assert said.err.count("\n") == 1
    assert "make bench" in said.err


@pytest.mark.parametrize("flag", ["--headroom=1", "--headroom=-0.1", "--ttl-days=0", "--shard-core=1.1", "--ratings=0"])
def test_command_refuses_assumptions_that_can_not_be(flag: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([flag])
    assert stopped.value.code == 2


def test_page_has_a_column_a_rate_and_client_and_every_part() -> None:
    lines = page(read_bench(RESULTS), SIZES, COSTS, GIVEN).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert {line.count("|") for line in table} == {8}
    assert "| 1k/s, kafka-python | 1k/s, confluent-kafka | 100k/s, kafka-python |" in table[0]
    cells = {line.split(" | ")[0].strip("| "): line.split(" | ")[1:] for line in table}
    assert cells["workers: processes (one a pod)"] == ["2", "2", "34", "9", "3,334", "834 |"]
    assert cells["Redis: shards, and what binds"][2] == "2,430, memory"
    assert cells["Kafka: brokers, and what binds"][0] == "3, copies"
    assert [line for line in lines if line.startswith("- **")] == ["- **1k/s**", "- **100k/s**", "- **10M/s**"]


def test_page_names_every_assumption_with_its_reason() -> None:
    text = page(read_bench(RESULTS), SIZES, COSTS, replace(GIVEN, ttl_days=2))
    assert "`ttl_days` 2 days: life of a rating" in text
    assert all(f"`{each.name}` " in text for each in fields(Assumptions))
    assert all(": " in line and not line.endswith(": ") for line in described(GIVEN))


def test_what_breaks_first_is_the_most_strained_part() -> None:
    for plans in plans_of(read_bench(RESULTS), SIZES, COSTS, GIVEN):
        times = [strain.times for strain in strains(plans, GIVEN)]
        assert times == sorted(times, reverse=True)
        assert sentences(plans, GIVEN)[0].startswith("one Redis server (")
    # 10M/s x 600 bytes = 6 GB/s; 500 shards of 64 GB are full after 5,333 s
    assert "holds 1.48 hours" in sentences(plans, GIVEN)[0]
    # 3,334 processes of which 500 make a group; (6,668 + 450) x 3 copies of 200,000 are no strain
    said = sentences(plans, GIVEN)
    assert any(each.startswith("one consumer group (6.67 times its limit): 3,334 / 834 members") for each in said)
    assert not any(each.startswith("partitions of one Kafka cluster") for each in said)


def test_where_nothing_breaks_the_nearest_limit_is_named() -> None:
    # 1,000/s x 8,640 s x 700 bytes = 6.05 GB of 64; 1,000 x 20 us of 0.7 s
    short = replace(GIVEN, ttl_days=0.1)
    plans = plans_of(read_bench(RESULTS), SIZES, COSTS, short)[0]
    assert sentences(plans, short) == ["Nothing breaks. Nearest to its limit, at 9.45 % of it: one Redis server."]


@pytest.mark.parametrize(("ttl_days", "fits"), [(6, True), (6.5, False)])
def test_replicas_count_among_a_cluster_s_nodes(ttl_days: float, *, fits: bool) -> None:
    # 100,000/s x 600 bytes: 31.1 TB are 486 shards, 972 nodes; 33.7 TB are 527 shards, 1,054 nodes
    given = replace(GIVEN, ttl_days=ttl_days)
    plans = plans_of(read_bench(RESULTS), SIZES, COSTS, given)[1]
    assert ("or a Redis Cluster." in sentences(plans, given)[0]) is fits
    assert ("WORKER_REDIS_TTL_S must fall" in sentences(plans, given)[0]) is not fits


def test_a_cluster_that_can_not_write_them_all_says_so() -> None:
    slow = replace(COSTS, cluster=RedisCost(600, 400, 30))  # 20 us x 10: 2,858 shards for the writes
    plans = plans_of(read_bench(RESULTS), SIZES, slow, GIVEN)[-1]
    assert "Redis is not the place for them all" in sentences(plans, GIVEN)[0]


def test_reviews_are_the_same_at_every_run_and_have_ids_of_their_own() -> None:
    first, second = (list(rated_reviews(CORPUS, 50)) for _ in range(2))
    assert [each.rating for each in first] == [each.rating for each in second]
    assert len({each.rating.review_id for each in first}) == 50
    assert all(len(each.rating.review_id) == 36 for each in first)
    assert all(sum(each.rating.probabilities) == pytest.approx(1, abs=1e-5) for each in first)


def test_sizes_are_of_what_the_worker_reads_and_publishes() -> None:
    found = sizes(CORPUS, 2, settings_of("redis://localhost", cluster=False))
    values = [each.record.value for each in rated_reviews(CORPUS, 2)]
    assert found.review_value == sum(len(value or b"") for value in values) / 2
    assert b"crashes all day" in (values[1] or b"")
    # key 36 and value with two bytes of length, no headers, 4 more bytes (attributes, deltas, count), record's length 2
    assert found.review_record == found.review_value + 1 + 36 + 2 + 4 + 2
    # the same with one header: content-type (12) and application/json (16), a byte of length each
    assert found.rating_record == found.rating_value + 1 + 36 + 2 + 4 + 2 + 30


def test_readme_can_take_the_table() -> None:
    assert spliced(README.read_text(encoding="utf-8"), "new", BEGIN, END).count("new") >= 1
    assert RATES == (1e3, 1e5, 1e7)


def test_numbers_have_three_digits() -> None:
    assert [number(each) for each in (0, 0.02345, 1.5, 999.6, 123_456)] == ["0", "0.0234", "1.5", "1,000", "123,000"]
    assert [count(each) for each in (3_334, 254_881)] == ["3,334", "255,000"]
    assert [size(each) for each in (999.9, 1_555_200_000_000, 2.5e19)] == ["1 kB", "1.56 TB", "25 EB"]
    assert [span(each) for each in (0.5, 90, 5_333, 200_000)] == [
        "0.5 seconds",
        "1.5 minutes",
        "1.48 hours",
        "2.31 days",
    ]
    assert [rate(each) for each in (500, 1e3, 1e5, 1e7)] == ["500/s", "1k/s", "100k/s", "10M/s"]
