"""Records that the brokers refuse as they are: those are changed or named, and all others go through."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from schemas.dead_letter import OWN
from tests.contract.test_delivery import await_committed, ids, joined, rated
from tests.contract.worlds import KafkaStreamWorld
from tests.doubles import commit, make_record
from tests.fixtures.paused import Paused
from worker.kafka.outgoing import GIVEN_KEY, TRUNCATED
from worker.records import next_offsets
from worker.stream.rejection import rejected

NOW_MS = round(time.time() * 1000)
GOOD = (b"good1", b"good4", b"good0")  # one for each partition
DAY_MS = 24 * 3600 * 1000
LINGER_S = 1.0  # longer than a record waits in the client


class Refused(NamedTuple):
    """A dead-letter topic's settings, a record whose letter it refuses, and the header of the letter it takes."""

    configs: Mapping[str, str]
    record: Mapping[str, Any]
    header: tuple[str, bytes]


REFUSED = {
    "compacted, no key": Refused({"cleanup.policy": "compact"}, {"key": None}, (GIVEN_KEY, b"0")),
    "microseconds": Refused({}, {"timestamp": NOW_MS * 1000}, (f"{OWN}dropped-time", b"%d000" % NOW_MS)),
    "too old": Refused(
        {"message.timestamp.before.max.ms": str(DAY_MS)},
        {"timestamp": NOW_MS - 2 * DAY_MS},
        (f"{OWN}dropped-time", b"%d" % (NOW_MS - 2 * DAY_MS)),
    ),
    "large": Refused({"max.message.bytes": "20000"}, {"value": b"\xff" * 50_000}, (TRUNCATED, b"50000")),
    "a large key": Refused({"max.message.bytes": "20000"}, {"key": b"k" * 50_000}, (GIVEN_KEY, b"50000")),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_letter_that_its_topic_refuses_is_changed_and_all_others_go_through(
    why: str, kafka_world: KafkaStreamWorld
) -> None:
    case = REFUSED[why]
    topic = f"{kafka_world.dead_letter_topic}-strict"
    kafka_world.create(topic, configs=case.configs)
    _, delivery, records = joined(kafka_world, dead_letter_topic=topic)
    fields: dict[str, Any] = {"value": b"\xff", "topic": kafka_world.topic, "timestamp": NOW_MS, "offset": 7}
    good = [make_record(**fields | {"key": key}) for key in GOOD]
    bad = make_record(**fields | {"key": b"bad"} | dict(case.record))
    letters = [rejected(record, "not_utf8", "x", model_version="v1") for record in (*good, bad)]
    changes = []
    for _ in range(2):
        commit(delivery, [*letters, *rated(records)], next_offsets(records))
        changes.append(kafka_world.log.names.count("dead_letters_changed"))
    assert changes[0] == changes[1] > 0, "learned: the second batch is right at once"
    await_committed(kafka_world, [2, 2, 2])
    published, found = kafka_world.published(kafka_world.output_topic), kafka_world.published(topic)
    assert set(ids(published)) == {"0-0", "0-1", "1-0", "1-1", "2-0", "2-1"}
    if kafka_world.kind == "exactly_once":
        assert (len(published), len(found)) == (12, 8)
    by_key = {record.key: record for record in found}
    for key in GOOD:
        whole = by_key.pop(key)
        assert (whole.value, whole.timestamp) == (b"\xff", NOW_MS)
        assert not any(name in (GIVEN_KEY, TRUNCATED, f"{OWN}dropped-time") for name, _ in whole.headers)
    assert set(by_key) == {b"bad" if bad.key == b"bad" else f"{bad.topic}-0-7".encode()}
    (changed,) = by_key.values()
    assert case.header in [tuple(header) for header in changed.headers]


def test_a_topic_that_takes_only_small_record_batches_gets_small_ones(kafka_world: KafkaStreamWorld) -> None:
    topic = f"{kafka_world.output_topic}-small"
    kafka_world.create(topic, configs={"max.message.bytes": "2000"})
    _, delivery, records = joined(kafka_world, 300, output_topic=topic)
    commit(delivery, rated(records), next_offsets(records))
    assert len(set(ids(kafka_world.published(topic)))) == 300
    assert "record_batches_halved" in kafka_world.log.names, "otherwise each record goes alone"
    await_committed(kafka_world, [100, 100, 100])


class Late(Paused):
    """Reports no refused record before somebody waits for it; if `slow`, a refusal arrives while it sends."""

    def poll(self, timeout: float = -1) -> int:
        return super().poll(timeout) if timeout else 0


@pytest.mark.parametrize("kafka_world", ["confluent exactly_once"], indirect=True)
@pytest.mark.parametrize("slow", [True, False], ids=["while it sends", "before the commit"])
def test_a_refusal_that_is_reported_after_the_transaction_has_failed_is_a_refusal(
    kafka_world: KafkaStreamWorld, slow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records leave when they fill a batch or have waited; any later call may be the one that fails then."""
    monkeypatch.setattr("worker.kafka.confluent.producer.Producer", Late)
    monkeypatch.setattr(Late, "pause_s", LINGER_S if slow else 0.0)
    topic = f"{kafka_world.output_topic}-small"
    kafka_world.create(topic, configs={"max.message.bytes": "2000"})
    _, delivery, records = joined(kafka_world, 300, output_topic=topic)
    delivery.prepare(rated(records), next_offsets(records))
    time.sleep(LINGER_S)
    delivery.commit()
    assert len(set(ids(kafka_world.published(topic)))) == 300
    await_committed(kafka_world, [100, 100, 100])


def test_a_letter_that_is_refused_in_every_form_is_logged_and_stops_nothing(kafka_world: KafkaStreamWorld) -> None:
    topic = f"{kafka_world.dead_letter_topic}-tiny"
    kafka_world.create(topic, configs={"max.message.bytes": "300"})
    _, delivery, records = joined(kafka_world, dead_letter_topic=topic)
    letter = rejected(
        make_record(b"\xff" * 500, key=b"k", topic=kafka_world.topic, offset=7), "not_utf8", "x", model_version="v"
    )
    commit(delivery, [letter, *rated(records)], next_offsets(records))
    assert set(ids(kafka_world.published(kafka_world.output_topic))) == {"0-0", "0-1", "1-0", "1-1", "2-0", "2-1"}
    assert kafka_world.published(topic) == []
    (refused,) = [event for event in kafka_world.log.events if event.event == "dead_letter_refused"]
    assert refused.fields["record"] == f"{kafka_world.topic}-0@7"
