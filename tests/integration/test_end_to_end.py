"""The main job, end to end: 5,000 real reviews, six partitions, two processes, a real Kafka and a real Redis.

One run, looked at from every side; librdkafka and redis-py say what arrived and what is committed.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from deploy.redis import LocalRedis
from schemas.output.rating_hash import rating_from_hash
from schemas.rating import Rating
from tests.conftest import TOY_VERSION
from tests.fixtures.records import Message, Seen
from tests.fixtures.running import Deployment, RunningWorker, data_file
from tests.fixtures.shared_kafka import SharedKafka

ROWS = 5000
TIMESTAMP_MS = 1_700_000_000_123
TRACE = [("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("tracestate", b"x=1")]
# Key -> value and the reason it is rejected for.
POISON: dict[str, tuple[bytes, str]] = {
    "poison-utf8": (b"\xff\xfe not text", "not_utf8"),
    "poison-json": (b'{"text": "cut', "not_json"),
    "poison-type": (b'{"text": 5}', "wrong_type"),
    "poison-none": (b'{"review_id": "r"}', "no_text"),
    "poison-long": (b"x" * 20_001, "text_too_long"),
    "poison-null": (b"a\0b", "null_byte"),
    "poison-id": (rb'{"text": "a", "review_id": "r\u0000"}', "bad_identifier"),
    "poison-model": (b"good until kaboom", "unratable"),
}


@dataclass(frozen=True)
class Run:
    """What went in, what came out, and the worker, stopped."""

    deployment: Deployment
    rows: dict[str, dict[str, str]]
    published: list[Seen]
    dead: list[Seen]
    worker: RunningWorker
    metrics: dict[tuple[str, frozenset[tuple[str, str]]], float]
    pages: dict[str, int]
    lag: int
    exit_code: int

    def total(self, name: str, **labels: str) -> float:
        wanted = set(labels.items())
        return sum(value for (found, has), value in self.metrics.items() if found == name and wanted <= has)


def review(row: dict[str, str]) -> Message:
    """Return a row as a producer of the field would send it: the store's own field names, keyed by app."""
    value = {
        "reviewId": row["review_id"],
        "content": row["content"],
        "appId": row["app_id"],
        "at": row["at"],
        "score": int(row["score"]),
        "userName": "ignored",
    }
    return Message(
        json.dumps(value, ensure_ascii=False).encode(), row["app_id"].encode() + row["review_id"][-2:].encode()
    )


@pytest.fixture(scope="module", params=["kafka-python", "confluent"])
def run(
    request: pytest.FixtureRequest,
    kafka: SharedKafka,
    redis_server: LocalRedis,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Run]:
    with data_file("app_reviews.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["review_id"]: row for _, row in zip(range(ROWS), csv.DictReader(file), strict=False)}
    assert len(rows) == ROWS
    with Deployment(kafka, redis_server.url, tmp_path_factory.mktemp("end-to-end")) as deployment:
        worker = deployment.worker("--processes", "2", kafka_client=request.param).ready()
        reviews = [review(row) for row in rows.values()]
        deployment.produce(*reviews[: ROWS // 2])
        deployment.produce(
            *(Message(value, key.encode(), TRACE, TIMESTAMP_MS) for key, (value, _) in POISON.items()),
            Message(b"love it, best app ever", b"my-id", TRACE),
            Message("großartig 🙂".encode(), partition=4),
            Message(b"worst app", b"to-be-deleted", partition=1),
        )
        deployment.produce(*reviews[ROWS // 2 :])
        worker.until(lambda: deployment.lag() == 0, "all committed")
        deployment.produce(Message(None, b"to-be-deleted", partition=1))
        worker.until(lambda: deployment.lag() == 0, "the deletion committed")
        # The brokers know of a commit before the worker has counted it, and a group may still be settling down.
        settled = len(deployment.produced)
        worker.until(lambda: worker.total("starstream_reviews_settled_total") == settled, "all counted")
        worker.until(lambda: worker.total("starstream_ready") == 2, "both ready")
        worker.until(
            lambda: worker.total("starstream_consumer_lag_records") == 0,
            "no lag seen, which is looked at once a second",
        )
        metrics = worker.samples()
        pages = {path: worker.get(path)[0] for path in ("/readyz", "/livez")}
        exit_code = worker.stop()
        yield Run(
            deployment,
            rows,
            deployment.read(deployment.output),
            deployment.read(deployment.dead),
            worker,
            metrics,
            pages,
            deployment.lag(),
            exit_code,
        )


def expected_ids(run: Run) -> set[str]:
    """Return the ids that must have been rated: the rows, the two plain texts, and the one deleted since."""
    plain = [message for message in run.deployment.produced if message.value == "großartig 🙂".encode()]
    assert len(plain) == 1
    (anonymous,) = {record.id for record in run.published} - set(run.rows) - {"my-id", "to-be-deleted"}
    assert anonymous.startswith(f"{run.deployment.input}-4-"), "no id and no key: its position is its identity"
    return {*run.rows, "my-id", "to-be-deleted", anonymous}


def test_every_review_is_on_the_output_topic_exactly_once(run: Run) -> None:
    ratings = Counter(record.id for record in run.published if record.value is not None)
    assert set(ratings) == expected_ids(run)
    assert max(ratings.values()) == 1


def test_every_review_is_in_redis(run: Run) -> None:
    assert run.deployment.stored_ids() == expected_ids(run) - {"to-be-deleted"}


def test_redis_and_topic_say_the_same(run: Run) -> None:
    for record in run.published[::97]:
        if record.value is not None and record.id != "to-be-deleted":
            rating = Rating.from_json(record.value)
            assert rating_from_hash(run.deployment.stored(rating.review_id), rating.review_id) == rating
            assert rating.model_version == TOY_VERSION


def test_ratings_carry_their_app_and_its_summary_adds_up(run: Run) -> None:
    apps = Counter(row["app_id"] for row in run.rows.values())
    for app, count in apps.items():
        found: Any = run.deployment.redis.hgetall(f"{run.deployment.prefix}summary:{{{app}}}")
        summary = {name: int(value) for name, value in found.items()}
        stars = {int(name[6:]): value for name, value in summary.items() if name.startswith("count:")}
        assert summary["count"] == count == sum(stars.values())
        assert summary["sum"] == sum(star * number for star, number in stars.items())


def test_plain_text_is_rated_under_its_key(run: Run) -> None:
    assert run.deployment.stored("my-id")["rating"] == "5"


def test_poison_is_dead_lettered_as_it_came(run: Run) -> None:
    dead = {letter.id: letter for letter in run.dead}
    assert len(run.dead) == len(POISON)
    for key, (value, _) in POISON.items():
        assert (dead[key].value, dead[key].timestamp) == (value, TIMESTAMP_MS)


def test_dead_letters_say_why_in_both_families(run: Run) -> None:
    dead = {letter.id: letter for letter in run.dead}
    for key, (_, reason) in POISON.items():
        letter = dead[key]
        assert letter.headers[: len(TRACE)] == TRACE
        for name, value in {
            "starstream-reason": reason,
            "starstream-model-version": TOY_VERSION,
            "starstream-attempts": "1",
            "__connect.errors.topic": run.deployment.input,
            "kafka_dlt-original-topic": run.deployment.input,
        }.items():
            assert letter.header(name) == value, key
        names = {name for name, _ in letter.headers}
        assert {"__connect.errors.exception.message", "kafka_dlt-original-partition"} <= names
        assert {"kafka_dlt-original-offset", "kafka_dlt-original-timestamp"} <= names


def test_tombstone_removes_the_rating_and_is_passed_on(run: Run) -> None:
    assert run.deployment.stored("to-be-deleted") == {}
    seen = [record.value for record in run.published if record.id == "to-be-deleted"]
    assert seen[0] is not None
    assert seen[1:] == [None]


def test_trace_context_passes_to_the_rating(run: Run) -> None:
    (rating,) = [record for record in run.published if record.id == "my-id"]
    assert rating.headers == [("content-type", b"application/json"), *TRACE]


def test_nothing_is_left_behind(run: Run) -> None:
    assert run.lag == 0


def test_metrics_of_both_processes_add_up(run: Run) -> None:
    rated, rejected = ROWS + 3, len(POISON)
    # The group may rebalance while the second process joins; what was not committed by then is read again.
    assert run.total("starstream_reviews_consumed_total") >= rated + rejected + 1
    assert run.total("starstream_reviews_settled_total", outcome="rated") == rated
    assert run.total("starstream_reviews_settled_total", outcome="rejected") == rejected
    assert run.total("starstream_reviews_settled_total", outcome="deleted") == 1
    assert run.total("starstream_ratings_total", model_version=TOY_VERSION) == rated
    assert run.total("starstream_redis_writes_total", result="written") == rated
    assert run.total("starstream_review_latency_seconds_count") == rated + rejected + 1
    assert run.total("starstream_partitions_assigned") == 6
    assert run.total("starstream_ready") == 2
    assert run.total("starstream_consumer_lag_records") == 0
    for _, reason in POISON.values():
        assert run.total("starstream_reviews_rejected_total", reason=reason) == 1


def test_it_was_ready_and_alive(run: Run) -> None:
    assert run.pages == {"/readyz": 200, "/livez": 200}


def test_sigterm_drains_and_ends_with_zero(run: Run) -> None:
    assert run.exit_code == 0
    for event in ("drained", "stopped"):
        assert len({line["pid"] for line in run.worker.said(event)}) == 2, run.worker.child.log_tail()


def test_the_log_holds_no_review(run: Run) -> None:
    log = run.worker.child.log_output
    assert log
    for row in run.rows.values():
        if len(row["content"]) > 20:
            assert row["content"] not in log
    for value in (b"not text", b"good until", b"best app ever"):
        assert value.decode() not in log
    assert all("event" in line for line in run.worker.events)


def test_ratings_are_spread_over_partitions_by_review(run: Run) -> None:
    assert {record.partition for record in run.published} == {0, 1, 2}


def test_worker_log_is_json_only(run: Run) -> None:
    strange = [entry["line"] for entry in run.worker.said("?")]
    assert [line for line in strange if not line.startswith("INFO: Created TensorFlow")] == []
