"""`dlq list | show | redrive` on a real broker: what is read, what is sent back, and that poison is refused in the end.

Letters are made by the worker's own code; one test has a real worker reject a record again and again.
"""

from __future__ import annotations

import json
import re
import sys
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from deploy.kafka import LocalKafka
from deploy.process import ChildProcess, wait_until
from deploy.redis import LocalRedis
from schemas.dead_letter import RejectReason
from tests import PATIENCE_S
from tests.conftest import ROOT, TOY_REGISTRY
from tests.doubles import TIMESTAMP_MS, ManualClock, make_record
from worker.__main__ import main
from worker.dead_letters.letter import Selection
from worker.dead_letters.reader import letter_spans, read_letters
from worker.errors import ExitCode
from worker.kafka.offset_range import EARLIEST, LATEST
from worker.kafka.outgoing import Outgoing, outgoing
from worker.kafka.python.topics import Topics
from worker.settings import WorkerSettings
from worker.stream.rejection import ATTEMPTS_HEADER, rejected

PARTITIONS = 3
LETTERS = 30


def read_topic(bootstrap: str, topic: str) -> list[Any]:
    """Return every committed record of a topic, partition by partition."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=None, isolation_level="read_committed")
    try:
        found: list[Any] = []
        for number in sorted(consumer.partitions_for_topic(topic)):
            at = TopicPartition(topic, number)
            consumer.assign([at])
            consumer.seek_to_beginning(at)
            end = consumer.end_offsets([at])[at]
            while consumer.position(at) < end:
                for records in consumer.poll(200).values():
                    found += records
        return found
    finally:
        consumer.close()


def send(bootstrap: str, records: Iterable[Outgoing], partition: int | None = None) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    try:
        sent = [
            producer.send(
                each.topic, each.value, each.key, each.headers, partition=partition, timestamp_ms=each.timestamp_ms
            )
            for each in records
        ]
        producer.flush(20)
        assert all(future.succeeded() for future in sent)
    finally:
        producer.close(5)


class Stream:
    """Topics of a test's own, and the commands on them."""

    def __init__(self, bootstrap: str, name: str) -> None:
        self.bootstrap = bootstrap
        self.reviews, self.ratings, self.letters = f"reviews-{name}", f"ratings-{name}", f"dlq-{name}"
        self.repaired = f"repaired-{name}"
        self.settings = WorkerSettings(
            _env_file=None,
            kafka_bootstrap_servers=[bootstrap],
            input_topics=[self.reviews],
            output_topic=self.ratings,
            dead_letter_topic=self.letters,
        )
        self.capsys: pytest.CaptureFixture[str] | None = None

    @property
    def flags(self) -> list[str]:
        return [
            f"--kafka-bootstrap-servers={self.bootstrap}",
            f"--input-topics={self.reviews}",
            f"--output-topic={self.ratings}",
            f"--dead-letter-topic={self.letters}",
        ]

    def dlq(self, *words: str) -> tuple[int, str, str]:
        """Run a verb; return its exit code, standard output and standard error."""
        assert self.capsys is not None
        self.capsys.readouterr()
        code = main(["dlq", *words, *self.flags])
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def listed(self, *words: str) -> list[dict[str, Any]]:
        code, out, _ = self.dlq("list", "--json", *words)
        assert code == ExitCode.OK
        return [json.loads(line) for line in out.splitlines()]

    def letter(self, number: int, *, reason: RejectReason = "not_json", attempts: int = 0, **more: Any) -> Outgoing:
        headers = [("traceparent", b"00-1"), ("traceparent", b"00-2"), *more.pop("headers", [])]
        if attempts:
            headers.append((ATTEMPTS_HEADER, str(attempts).encode()))
        record = make_record(
            f'{{"number": {number}',
            key=f"r{number}".encode(),
            topic=self.reviews,
            partition=number % PARTITIONS,
            offset=number * 10,
            timestamp=TIMESTAMP_MS + number * 1000,
            headers=headers,
            **more,
        )
        return outgoing(rejected(record, reason, "value: broken", model_version="v1"), self.settings)


def new_stream(kafka: LocalKafka) -> Stream:
    made = Stream(kafka.bootstrap, uuid.uuid4().hex[:8])
    # The letters' times are long past, and brokers delete by them.
    topics = {made.reviews: PARTITIONS, made.ratings: 2, made.letters: 2, made.repaired: 2}
    kafka.create_topics(topics, {"retention.ms": "-1"})
    return made


def fill(stream: Stream) -> None:
    """Send thirty letters over two partitions, odd ones of another reason, and an aborted transaction behind them."""
    for partition in (0, 1):
        chosen = [number for number in range(LETTERS) if number % 2 == partition]
        letters = [stream.letter(number, reason="not_json" if number % 2 else "no_text") for number in chosen]
        send(stream.bootstrap, letters, partition)
    producer = KafkaProducer(bootstrap_servers=stream.bootstrap, transactional_id=stream.letters)
    producer.init_transactions()
    producer.begin_transaction()
    for partition in (0, 1):
        producer.send(stream.letters, b"never committed", partition=partition)
    producer.flush()
    producer.abort_transaction()
    producer.close(5)


@pytest.fixture(scope="module")
def filled(kafka: LocalKafka) -> Stream:
    made = new_stream(kafka)
    fill(made)
    return made


@pytest.fixture
def full(filled: Stream, clean_environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Stream:
    """The module's letters, which a test may read and send elsewhere, but not add to."""
    del clean_environment
    filled.capsys = capsys
    return filled


@pytest.fixture
def stream(kafka: LocalKafka, clean_environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Stream:
    """Topics of the test's own, empty."""
    del clean_environment
    made = new_stream(kafka)
    made.capsys = capsys
    return made


def numbers(listed: Sequence[dict[str, Any]]) -> list[int]:
    return [int(fields["key"].removeprefix("r")) for fields in listed]


def test_list_shows_every_letter_and_counts_by_reason(full: Stream) -> None:
    listed = full.listed()
    assert sorted(numbers(listed)) == list(range(LETTERS))
    assert [(each["partition"], each["offset"]) for each in listed] == [(p, o) for p in (0, 1) for o in range(15)]
    assert listed[1] == {
        "partition": 0,
        "offset": 1,
        "time": "2026-01-01T00:00:02.000Z",
        "reason": "no_text",
        "original_topic": full.reviews,
        "original_partition": 2,
        "original_offset": 20,
        "key": "r2",
        "attempts": 1,
        "model_version": "v1",
        "value_bytes": 12,
    }
    code, out, err = full.dlq("list", "--limit", "3")
    assert (code, len(out.splitlines())) == (0, 4)
    assert re.search(r"0:1 +2026-01-01T00:00:02.000Z +no_text +reviews-\w+-2@20 +r2 +1 +v1 +12", out)
    assert f"{full.letters}: 30 letters (3 shown; --limit 0 shows all): not_json 15, no_text 15" in err
    assert '"number"' not in out + err


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--reason", "not_json"], range(1, 30, 2)),
        (["--reason", "not_json", "--reason", "no_text", "--partition", "0"], range(0, 30, 2)),
        (["--from", "10", "--to", "12"], [20, 22, 21, 23]),
        (["--from", "2026-01-01T00:00:25Z"], [26, 28, 25, 27, 29]),
        (["--from", "2026-01-01T00:00:03Z", "--to", "2026-01-01T00:00:06Z"], [4, 3, 5]),
        (["--to", "2026-01-01T00:00:02.001Z", "--partition", "0"], [0, 2]),
        (["--from", "2027-01-01"], []),
        (["--topic", "elsewhere"], []),
        (["--limit", "2"], [0, 2]),
        (["--from", "500"], []),
    ],
)
def test_filters_narrow(full: Stream, words: list[str], wanted: Iterable[int]) -> None:
    assert numbers(full.listed(*words)) == list(wanted)


def test_times_of_letters_need_no_order(stream: Stream) -> None:
    send(stream.bootstrap, [stream.letter(number) for number in (9, 2, 8, 1, 7)], 0)
    assert numbers(stream.listed("--from", "2026-01-01T00:00:07Z")) == [9, 8, 7]
    assert numbers(stream.listed("--to", "2026-01-01T00:00:07Z")) == [2, 1]


def test_show_decodes_headers_and_keeps_the_text_back(full: Stream) -> None:
    code, out, err = full.dlq("show", "0:3")
    assert code == ExitCode.OK
    for name, value in (
        ("kafka_dlt-original-offset", "60"),
        ("kafka_dlt-original-partition", "0"),
        ("kafka_dlt-original-timestamp", str(TIMESTAMP_MS + 6000)),
        ("__connect.errors.offset", "60"),
        ("traceparent", "00-2"),
        ("starstream-attempts", "1"),
    ):
        assert re.search(rf"^{re.escape(name)} +{value} *$", out, re.MULTILINE)
    assert '"number"' not in out + err
    code, out, err = full.dlq("show", "0:3", "--value")
    assert out.endswith('{"number": 6\n')
    assert "personal data" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["show", "0:99"], "0:99: no letter there"),
        (["show", "0:15"], "0:15: no letter there"),  # of the aborted transaction
        (["show", "7:0"], "--partition 7:"),
        (["list", "--partition", "7"], "--partition 7:"),
        (["list", "--dead-letter-topic=nowhere"], "WORKER_DEAD_LETTER_TOPIC: nowhere: no such topic"),
        (["redrive", "--yes", "--to-topic", "nowhere"], "--to-topic: nowhere: no such topic"),
    ],
)
def test_what_is_not_there_is_named(
    full: Stream, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    flags = [flag for flag in full.flags if flag.partition("=")[0] not in {word.partition("=")[0] for word in words}]
    assert main(["dlq", *words, *flags]) == ExitCode.USAGE
    assert message in capsys.readouterr().err


def test_dry_run_names_the_letters_and_sends_nothing(full: Stream) -> None:
    code, out, err = full.dlq("redrive", "--dry-run", "--reason", "no_text", "--limit", "2")
    assert code == ExitCode.OK
    assert out.splitlines() == [f"0:{n} -> {full.reviews} key=r{2 * n} no_text attempts=1" for n in (0, 1)]
    assert "2 letters would be sent" in err
    assert read_topic(full.bootstrap, full.reviews) == []


def test_redrive_sends_letters_home_as_they_were_produced(stream: Stream) -> None:
    fill(stream)
    code, _, err = stream.dlq("redrive", "--yes")
    assert (code, f"30 letters sent: {stream.reviews} 30" in err) == (ExitCode.OK, True)
    found = read_topic(stream.bootstrap, stream.reviews)
    assert sorted(record.key for record in found) == sorted(f"r{number}".encode() for number in range(LETTERS))
    for record in found:
        number = int(record.key[1:])
        assert (record.value, record.partition) == (f'{{"number": {number}'.encode(), number % PARTITIONS)
        assert record.timestamp == TIMESTAMP_MS + number * 1000
        assert list(record.headers) == [("traceparent", b"00-1"), ("traceparent", b"00-2"), (ATTEMPTS_HEADER, b"1")]
    assert len(stream.listed()) == LETTERS  # they stay where they are


def test_redrive_to_another_topic_and_with_filters(full: Stream) -> None:
    code, _, _ = full.dlq("redrive", "--yes", "--to-topic", full.repaired, "--from", "3", "--to", "5", "--partition=1")
    assert code == ExitCode.OK
    assert {record.key for record in read_topic(full.bootstrap, full.repaired)} == {b"r7", b"r9"}
    assert read_topic(full.bootstrap, full.reviews) == []


def test_refused_letters_are_counted_by_reason(stream: Stream) -> None:
    kept = stream.letter(1)
    letters = [
        stream.letter(0, attempts=2),  # the third time
        kept,
        stream.letter(2)._replace(headers=[*stream.letter(2).headers, ("starstream-truncated-from-bytes", b"9")]),
        kept._replace(headers=[]),
        *(
            kept._replace(headers=[("kafka_dlt-original-topic", topic.encode())])
            for topic in (stream.letters, stream.ratings, "nowhere", "no/topic")
        ),
    ]
    send(stream.bootstrap, letters, 0)
    code, _, err = stream.dlq("redrive", "--yes")
    assert code == ExitCode.INPUT
    assert f"1 letters sent: {stream.reviews} 1" in err
    for line in (
        "1 not: tried as often as --max-attempts allows",
        "1 not: the value was cut",
        "1 not: no header says where it came from",
        "2 not: it would go to the dead-letter topic or the output topic",
        "2 not: the topic it came from is gone",
    ):
        assert line in err
    assert [record.key for record in read_topic(stream.bootstrap, stream.reviews)] == [b"r1"]
    code, _, err = stream.dlq("redrive", "--yes", "--max-attempts", "4", "--limit", "1", "--to", "1")
    assert (code, "1 letters sent" in err) == (ExitCode.OK, True)


def test_letters_that_would_be_deleted_on_arrival_stay(stream: Stream, kafka: LocalKafka) -> None:
    now_ms = round(time.time() * 1000)
    topics = {f"{kind}-{stream.reviews}": kind for kind in ("day", "compact", "appended")}
    kafka.create_topics({f"day-{stream.reviews}": 1}, {"retention.ms": "86400000"})
    kafka.create_topics({f"compact-{stream.reviews}": 1}, {"retention.ms": "86400000", "cleanup.policy": "compact"})
    kafka.create_topics(
        {f"appended-{stream.reviews}": 1}, {"retention.ms": "86400000", "message.timestamp.type": "LogAppendTime"}
    )
    for number, age_h in enumerate((1, 25)):
        record = make_record(" ", key=b"k", topic=stream.reviews, offset=number, timestamp=now_ms - age_h * 3600_000)
        send(stream.bootstrap, [outgoing(rejected(record, "no_text", "", model_version="v1"), stream.settings)], 0)
    for topic, kind in topics.items():
        code, _, err = stream.dlq("redrive", "--yes", "--to-topic", topic)
        assert code == (ExitCode.INPUT if kind == "day" else ExitCode.OK)
        assert f"{1 if kind == 'day' else 2} letters sent: {topic}" in err
    assert (
        "1 not: its topic would soon delete it"
        in stream.dlq("redrive", "--dry-run", "--to-topic", f"day-{stream.reviews}")[2]
    )
    code, _, _ = stream.dlq("redrive", "--yes", "--to-topic", f"day-{stream.reviews}", "--from", "1", "--time", "now")
    assert code == ExitCode.OK
    assert read_topic(stream.bootstrap, f"day-{stream.reviews}")[-1].timestamp >= now_ms


def test_a_redrive_does_not_read_what_comes_back_meanwhile(stream: Stream) -> None:
    fill(stream)
    everything = Selection(EARLIEST, LATEST)
    with closing(Topics(stream.settings, ManualClock())) as topics:
        spans = letter_spans(topics, stream.letters, everything)
        seen = []
        for letter in read_letters(topics, spans, everything):
            seen.append(letter.place)
            send(stream.bootstrap, [stream.letter(100 + len(seen))], letter.record.partition)
            if len(seen) > LETTERS:
                break
    assert len(seen) == LETTERS


def test_more_letters_than_are_in_flight_at_once_are_all_sent(stream: Stream) -> None:
    send(stream.bootstrap, [stream.letter(number) for number in range(1200)], 0)
    code, _, err = stream.dlq("redrive", "--yes", "--limit", "1100")
    assert (code, "1100 letters sent" in err) == (ExitCode.OK, True)
    assert len({record.key for record in read_topic(stream.bootstrap, stream.reviews)}) == 1100


def test_poison_is_tried_three_times_and_then_refused(stream: Stream, redis_server: LocalRedis, tmp_path: Path) -> None:
    send(stream.bootstrap, [Outgoing(stream.reviews, b"poison", b'{"text": 5}', [("traceparent", b"00")], None)])
    worker = ChildProcess(
        [
            sys.executable,
            *("-m", "worker", "run", "--http-port=0", f"--registry={TOY_REGISTRY}", *stream.flags),
            *(f"--redis-url={redis_server.url}", f"--redis-prefix={stream.reviews}:", f"--group-id={stream.reviews}"),
        ],
        log_path=tmp_path / "worker.log",
        cwd=ROOT,
    )
    try:
        for attempts in (1, 2, 3):
            wait_until(lambda n=attempts: len(stream.listed()) == n, PATIENCE_S, f"letter {attempts}")  # type: ignore[misc]
            assert [each["attempts"] for each in stream.listed()][-1] == attempts
            last = ["--partition", str(stream.listed()[-1]["partition"]), "--from", str(stream.listed()[-1]["offset"])]
            code, _, err = stream.dlq("redrive", "--yes", *last)
            assert code == (ExitCode.OK if attempts < 3 else ExitCode.INPUT)
            assert f"{int(attempts < 3)} letters sent" in err
    finally:
        assert worker.terminate(PATIENCE_S) == ExitCode.OK, worker.log_tail()
    assert len(read_topic(stream.bootstrap, stream.reviews)) == 3
    assert len(stream.listed()) == 3
    assert [each["original_offset"] is not None for each in stream.listed()] == [True] * 3
