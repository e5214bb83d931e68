"""Every figure here was worked out by hand from the numbers below; the comments say how."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.sizing.assumptions import Assumptions
from tests.benchmarks.sizing.measured import ClientFigures, RecordSizes, RedisCost, RedisCosts
from tests.benchmarks.sizing.plan import (
    Transactions,
    batch_at_load,
    plan,
    size_brokers,
    size_redis,
    size_transactions,
    size_workers,
    touched,
)
from worker.settings import WorkerSettings

GIVEN = Assumptions()
FIGURES = ClientFigures(reviews_per_s=5_000, cpu_us=150, broker_us=40, redis_us=20, rss_mb=200, idle_ms=20)
SIZES = RecordSizes("made up", 1, review_value=250, review_record=300, rating_value=370, rating_record=450)
COSTS = RedisCosts("7", 1, single=RedisCost(700, 40, 10), cluster=RedisCost(600, 50, 30))


def test_worker_processes_are_the_rate_over_what_the_headroom_leaves() -> None:
    workers = size_workers(1e5, FIGURES, SIZES, GIVEN)
    # 100,000 / (5,000 x 0.6) = 33.3; 100,000 x 150 us = 15 s a second; 34 x 200 MB; two partitions each
    assert (workers.processes, workers.memory_bytes) == (34, 6.8e9)
    assert workers.cores == pytest.approx(15)
    assert (workers.partitions, workers.groups) == (68, 1)


def test_large_groups_are_divided() -> None:
    # 10,000,000 / 3,000 = 3,333.3 processes, of which 500 make a group
    workers = size_workers(1e7, FIGURES, SIZES, GIVEN)
    assert (workers.processes, workers.partitions, workers.groups) == (3_334, 6_668, 7)


def test_few_reviews_still_have_two_processes_and_six_partitions() -> None:
    workers = size_workers(100, FIGURES, SIZES, GIVEN)
    assert (workers.processes, workers.partitions) == (2, 6)


def test_bytes_ask_for_partitions_where_processes_do_not() -> None:
    # 100,000 x 30,000 bytes = 3 GB/s at 10 MB/s a partition
    assert size_workers(1e5, FIGURES, replace(SIZES, review_record=30_000), GIVEN).partitions == 300


def test_batch_at_load_is_what_arrives_while_the_one_before_is_settled() -> None:
    # c = 1/5,000 - 0.020/2,000 = 0.00019 s; 3,000 x 0.020 / (1 - 3,000 x 0.00019) = 60 / 0.43
    assert batch_at_load(3_000, FIGURES, 2_000) == pytest.approx(139.535, abs=1e-3)


@given(st.floats(0.01, 1.5))
def test_batch_at_load_is_between_one_and_full_and_full_at_capacity(share: float) -> None:
    assert 1 <= batch_at_load(5_000 * share, FIGURES, 2_000) <= 2_000
    assert batch_at_load(5_000, FIGURES, 2_000) == pytest.approx(2_000)


def test_touched_is_the_expected_number_of_boxes_with_a_ball() -> None:
    assert touched(1, 5) == 1
    assert touched(2, 2) == pytest.approx(1.5)  # both in one, or one in each, as often
    assert touched(10, 1) == pytest.approx(1)


def test_transaction_leaves_a_marker_where_it_wrote_and_one_with_the_offsets() -> None:
    # 6,000/s on two processes are 139.535 reviews a transaction (above): 43.0/s; with one partition 2 markers each
    found = size_transactions(6_000, 2, 1, FIGURES, GIVEN)
    assert found.per_s == pytest.approx(43.0, abs=0.01)
    assert found.fewest_per_s == 3
    assert found.markers_per_s == pytest.approx(86.0, abs=0.01)
    assert found.marker_bytes_per_s == pytest.approx(86.0 * 78, rel=1e-4)
    assert found.markers_per_review == pytest.approx(2 / 139.535, rel=1e-4)


def test_redis_is_one_server_while_it_is_enough() -> None:
    # 10/s x 2,592,000 s x 700 bytes = 18.144 GB
    redis = size_redis(10, FIGURES, COSTS, GIVEN)
    assert (redis.cluster, redis.shards, redis.binds, redis.nodes) == (False, 1, "neither", 2)
    assert redis.memory_bytes == pytest.approx(18.144e9)
    assert redis.strain == pytest.approx(18.144 / 64)
    assert (redis.more_worker_cores, redis.nodes_per_batch) == (0, 1)


def test_redis_cluster_has_the_cluster_s_costs_and_memory_binds() -> None:
    # 1,000/s x 2,592,000 s x 600 bytes = 1.5552 TB = 24.3 shards; 20 us x 50/40 = 25 us
    redis = size_redis(1_000, FIGURES, COSTS, GIVEN)
    assert (redis.cluster, redis.shards_by_memory, redis.shards_by_cpu, redis.binds) == (True, 25, 1, "memory")
    assert redis.memory_bytes == pytest.approx(1.5552e12)
    assert redis.write_cores == pytest.approx(0.025)
    assert redis.more_worker_cores == pytest.approx(0.02)  # 30 us instead of 10
    assert redis.writes_per_shard_s == pytest.approx(28_000)  # 0.7 s of 25 us
    assert redis.nodes == 50


def test_redis_is_bound_by_cpu_when_ratings_live_shortly() -> None:
    # 100,000/s x 864 s x 600 bytes = 51.84 GB; 100,000 x 25 us = 2.5 cores of which a shard has 0.7
    redis = size_redis(1e5, FIGURES, COSTS, replace(GIVEN, ttl_days=0.01))
    assert (redis.shards_by_memory, redis.shards_by_cpu, redis.shards, redis.binds) == (1, 4, 4, "CPU")


def test_batch_asks_no_more_nodes_than_the_largest_cluster_has() -> None:
    redis = size_redis(1e7, FIGURES, COSTS, GIVEN)
    assert redis.shards > GIVEN.largest_cluster == 500
    assert redis.nodes_per_batch == pytest.approx(touched(500, 2_000))


def test_brokers_are_as_many_as_the_scarcest_asks_for() -> None:
    each = Transactions(100, 100, 5, 10, 1_100, 85_800)
    found = size_brokers(1e4, 20, 10, each, 40, replace(SIZES, review_record=256), replace(GIVEN, broker_mb_s=10))
    # in 10,000 x (256 + 61/64); out 10,000 x (450 + 61/10); three copies with the markers
    assert found.in_bytes_per_s == pytest.approx(2_569_531.25)
    assert found.out_bytes_per_s == pytest.approx(4_561_000)
    assert found.written_bytes_per_s == pytest.approx(3 * 7_216_331.25)
    # workers 2.57 MB, one reader 4.56 MB, two more copies of all 7.22 MB
    assert found.read_bytes_per_s == pytest.approx(2_569_531.25 + 4_561_000 + 2 * 7_216_331.25)
    assert found.cores == pytest.approx(1.2)
    assert found.partition_copies == 90
    assert found.disk_bytes == pytest.approx(3 * 7_216_331.25 * 604_800)  # 13.09 TB
    assert found.by == {"copies": 3, "bandwidth": 3, "CPU": 1, "disk": 1, "partitions": 1}
    slow = size_brokers(1e4, 20, 10, each, 4_000, SIZES, GIVEN)
    assert (slow.count, slow.binds) == (25, "CPU")  # 120 cores over 8 x 0.6


def test_ratings_have_partitions_by_bytes() -> None:
    # 10,000,000 x 450 bytes at 10 MB/s
    assert plan(1e7, FIGURES, SIZES, COSTS, GIVEN).brokers.ratings_partitions == 450
    assert plan(1e3, FIGURES, SIZES, COSTS, GIVEN).brokers.ratings_partitions == 6


@given(st.floats(1e3, 1e7), st.floats(1.5, 4))
def test_more_reviews_never_need_less(rate: float, times: float) -> None:
    less, more = (plan(each, FIGURES, SIZES, COSTS, GIVEN) for each in (rate, rate * times))
    assert less.workers.processes <= more.workers.processes
    assert less.redis.shards <= more.redis.shards
    assert less.brokers.count <= more.brokers.count


def test_defaults_are_the_worker_s() -> None:
    assert WorkerSettings.model_fields["redis_ttl_s"].default == GIVEN.ttl_days * 86_400
    assert WorkerSettings.model_fields["batch_reviews"].default == GIVEN.batch_reviews
