"""`dlq list | show | redrive` on a real broker: what is read, what is sent back, and that poison is refused in the end.

Letters are made by the worker's own code; one test has a real worker reject a record again and again.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from deploy.redis import LocalRedis
from schemas.dead_letter import RejectReason
from tests.doubles import TIMESTAMP_MS, ManualClock, make_record
from tests.fixtures.records import Message, send_aborted
from tests.fixtures.running import Deployment
from tests.fixtures.shared_kafka import SharedKafka
from worker.__main__ import main
from worker.dead_letters.letter import Selection
from worker.dead_letters.reader import letter_spans, read_letters
from worker.errors import ExitCode
from worker.kafka.offset_range import EARLIEST, LATEST
from worker.kafka.outgoing import outgoing
from worker.kafka.python.topics import Topics
from worker.records import Record
from worker.settings import WorkerSettings
from worker.stream.rejection import ATTEMPTS_HEADER, rejected

PARTITIONS = 3
LETTERS = 30


class Stream(Deployment):
    """Topics of a test's own, and the commands on them."""

    partitions = (PARTITIONS, 2, 2)

    def __init__(self, kafka: SharedKafka, redis_url: str, folder: Path) -> None:
        super().__init__(kafka, redis_url, folder)
        self.settings["request_timeout_s"] = "100"  # no verb waits for a time-out here, and a busy broker may take long
        self.repaired = f"repaired-{self.mark}"
        kafka.create_topics({self.repaired: 2})
        self.worker_settings = WorkerSettings(
            _env_file=None,
            kafka_bootstrap_servers=[kafka.bootstrap],
            input_topics=[self.input],
            output_topic=self.output,
            dead_letter_topic=self.dead,
        )
        self.capsys: pytest.CaptureFixture[str] | None = None

    def dlq(self, *words: str, **settings: str) -> tuple[int, str, str]:
        """Run a verb; return its exit code, standard output and standard error."""
        assert self.capsys is not None
        self.capsys.readouterr()
        code = main(["dlq", *words, *self.flags(**settings)])
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def listed(self, *words: str) -> list[dict[str, Any]]:
        code, out, _ = self.dlq("list", "--json", *words)
        assert code == ExitCode.OK
        return [json.loads(line) for line in out.splitlines()]

    def rejected(self, record: Record, reason: RejectReason) -> Message:
        """Return the letter that the worker writes for a record."""
        sent = outgoing(rejected(record, reason, "value: broken", model_version="v1"), self.worker_settings)
        return Message(sent.value, sent.key, sent.headers, sent.timestamp_ms, 0, sent.topic)

    def letter(self, number: int, *, reason: RejectReason = "not_json", attempts: int = 0) -> Message:
        headers = [("traceparent", b"00-1"), ("traceparent", b"00-2")]
        if attempts:
            headers.append((ATTEMPTS_HEADER, str(attempts).encode()))
        record = make_record(
            f'{{"number": {number}',
            key=f"r{number}".encode(),
            topic=self.input,
            partition=number % PARTITIONS,
            offset=number * 10,
            timestamp=TIMESTAMP_MS + number * 1000,
            headers=headers,
        )
        return self.rejected(record, reason)


def fill(stream: Stream) -> None:
    """Send thirty letters over two partitions, odd ones of another reason, and an aborted transaction behind them."""
    stream.produce(
        *(
            stream.letter(number, reason="not_json" if number % 2 else "no_text")._replace(partition=number % 2)
            for number in range(LETTERS)
        )
    )
    send_aborted(stream.kafka.bootstrap, stream.dead, (0, 1))


@pytest.fixture(scope="module")
def filled(kafka: SharedKafka, redis_server: LocalRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    with Stream(kafka, redis_server.url, tmp_path_factory.mktemp("dlq")) as made:
        fill(made)
        yield made


@pytest.fixture
def full(filled: Stream, clean_environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Stream:
    """The module's letters, which a test may read and send elsewhere, but not add to."""
    del clean_environment
    filled.capsys = capsys
    return filled


@pytest.fixture
def stream(
    kafka: SharedKafka,
    redis_server: LocalRedis,
    tmp_path: Path,
    clean_environment: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Stream]:
    """Topics of the test's own, empty."""
    del clean_environment
    with Stream(kafka, redis_server.url, tmp_path) as made:
        made.capsys = capsys
        yield made


def numbers(listed: Sequence[dict[str, Any]]) -> list[int]:
    return [int(fields["key"].removeprefix("r")) for fields in listed]


def test_list_shows_every_letter_and_counts_by_reason(full: Stream) -> None:
    listed = full.listed()
    assert sorted(numbers(listed)) == list(range(LETTERS))
    assert [(letter["partition"], letter["offset"]) for letter in listed] == [(p, o) for p in (0, 1) for o in range(15)]
    assert listed[1] == {
        "partition": 0,
        "offset": 1,
        "time": "2026-01-01T00:00:02.000Z",
        "reason": "no_text",
        "original_topic": full.input,
        "original_partition": 2,
        "original_offset": 20,
        "key": "r2",
        "attempts": 1,
        "model_version": "v1",
        "value_bytes": 12,
        "message": "value: broken",
    }
    code, out, err = full.dlq("list", "--limit", "3")
    assert (code, len(out.splitlines())) == (0, 4)
    assert re.search(r"0:1 +2026-01-01T00:00:02.000Z +no_text +reviews-\w+-2@20 +r2 +1 +v1 +12 +value: broken", out)
    assert f"{full.dead}: 30 letters (3 shown; --limit 0 shows all): not_json 15, no_text 15" in err
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
    stream.produce(*map(stream.letter, (9, 2, 8, 1, 7)))
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


def test_personal_data_is_masked_where_it_is_printed_and_stays_on_the_topic(stream: Stream) -> None:
    value = b'{"words": "ask jo@example.com or +49 170 1234567'
    record = make_record(value, key=b"jo@example.com", topic=stream.input, partition=0, offset=7)
    stream.produce(stream.rejected(record, "not_json"))
    code, out, err = stream.dlq("list", "--json")
    assert (code, json.loads(out)["key"]) == (ExitCode.OK, "<e-mail>")
    assert "masked: 1 e-mail; --keep-personal-data shows it" in err
    code, out, err = stream.dlq("show", "0:0", "--value")
    assert out.endswith('{"words": "ask <e-mail> or <phone>\n')
    assert "jo@" not in out
    assert "masked: 2 e-mail, 1 phone" in err
    code, out, err = stream.dlq("show", "0:0", "--value", "--keep-personal-data")
    assert out.endswith(f"{value.decode()}\n")
    assert "masked" not in err
    assert [letter.value for letter in stream.read(stream.dead)] == [value]
    assert stream.dlq("redrive", "--yes")[0] == ExitCode.OK
    assert [(sent.key, sent.value) for sent in stream.read(stream.input)] == [(b"jo@example.com", value)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["show", "0:99"], "0:99: no letter there"),
        (["show", "0:15"], "0:15: no letter there"),  # of the aborted transaction
        (["show", "7:0"], "--partition 7:"),
        (["list", "--partition", "7"], "--partition 7:"),
        (["redrive", "--yes", "--to-topic", "nowhere"], "--to-topic: nowhere: no such topic"),
    ],
)
def test_what_is_not_there_is_named(full: Stream, words: list[str], message: str) -> None:
    code, _, err = full.dlq(*words)
    assert (code, message in err) == (ExitCode.USAGE, True)


def test_a_missing_dead_letter_topic_is_named(full: Stream) -> None:
    code, _, err = full.dlq("list", dead_letter_topic="nowhere")
    assert (code, "WORKER_DEAD_LETTER_TOPIC: nowhere: no such topic" in err) == (ExitCode.USAGE, True)


def test_dry_run_names_the_letters_and_sends_nothing(full: Stream) -> None:
    code, out, err = full.dlq("redrive", "--dry-run", "--reason", "no_text", "--limit", "2")
    assert code == ExitCode.OK
    assert out.splitlines() == [f"0:{n} -> {full.input} key=r{2 * n} no_text attempts=1" for n in (0, 1)]
    assert "2 letters would be sent" in err
    assert full.read(full.input) == []


def test_redrive_sends_letters_home_as_they_were_produced(stream: Stream) -> None:
    fill(stream)
    code, _, err = stream.dlq("redrive", "--yes")
    assert (code, f"30 letters sent: {stream.input} 30" in err) == (ExitCode.OK, True)
    found = stream.read(stream.input)
    assert sorted(record.id for record in found) == sorted(f"r{number}" for number in range(LETTERS))
    for record in found:
        number = int(record.id[1:])
        assert (record.value, record.partition) == (f'{{"number": {number}'.encode(), number % PARTITIONS)
        assert record.timestamp == TIMESTAMP_MS + number * 1000
        assert record.headers == [("traceparent", b"00-1"), ("traceparent", b"00-2"), (ATTEMPTS_HEADER, b"1")]
    assert len(stream.listed()) == LETTERS  # they stay where they are


def test_a_second_redrive_says_so_and_new_sends_only_what_came_since(stream: Stream) -> None:
    fill(stream)
    code, _, err = stream.dlq("redrive", "--yes", "--partition", "0")
    assert (code, "15 letters sent" in err, "earlier" in err) == (ExitCode.OK, True, False)
    _, _, err = stream.dlq("redrive", "--dry-run")
    assert "earlier redrives have sent letters up to 0:14; --new leaves those out" in err
    assert "30 letters would be sent" in err
    code, _, err = stream.dlq("redrive", "--yes", "--new")
    assert (code, "15 letters sent" in err, "earlier" in err) == (ExitCode.OK, True, False)
    assert len({record.id for record in stream.read(stream.input)}) == len(stream.read(stream.input)) == LETTERS
    assert "0 letters sent" in stream.dlq("redrive", "--yes", "--new")[2]
    stream.produce(stream.letter(50)._replace(partition=1))
    assert "1 letter sent" in stream.dlq("redrive", "--yes", "--new")[2]
    assert stream.read(stream.input)[-1].id in {"r50", *map("r{}".format, range(LETTERS))}
    assert "r50" in {record.id for record in stream.read(stream.input)}


def test_redrive_to_another_topic_and_with_filters(full: Stream) -> None:
    code, _, _ = full.dlq("redrive", "--yes", "--to-topic", full.repaired, "--from", "3", "--to", "5", "--partition=1")
    assert code == ExitCode.OK
    assert {record.key for record in full.read(full.repaired)} == {b"r7", b"r9"}
    assert full.read(full.input) == []


def test_refused_letters_are_counted_by_reason(stream: Stream) -> None:
    kept = stream.letter(1)
    letters = [
        stream.letter(0, attempts=2),  # the third time
        kept,
        stream.letter(2)._replace(headers=[*stream.letter(2).headers, ("starstream-truncated-from-bytes", b"9")]),
        kept._replace(headers=[]),
        *(
            kept._replace(headers=[("kafka_dlt-original-topic", topic.encode())])
            for topic in (stream.dead, stream.output, "nowhere", "no/topic")
        ),
    ]
    stream.produce(*letters)
    code, _, err = stream.dlq("redrive", "--yes")
    assert code == ExitCode.INPUT
    assert f"1 letter sent: {stream.input} 1" in err
    for line in (
        "1 not: tried as often as --max-attempts allows",
        "1 not: the value or key was cut",
        "1 not: no header says where it came from",
        "2 not: it would go to the dead-letter topic or the output topic",
        "2 not: the topic it came from is gone",
    ):
        assert line in err
    assert [record.key for record in stream.read(stream.input)] == [b"r1"]
    code, _, err = stream.dlq("redrive", "--yes", "--max-attempts", "4", "--limit", "1", "--to", "1")
    assert (code, "1 letter sent" in err) == (ExitCode.OK, True)


def test_letters_that_would_be_deleted_on_arrival_stay(stream: Stream, kafka: SharedKafka) -> None:
    now_ms = round(time.time() * 1000)
    topics = {f"{kind}-{stream.input}": kind for kind in ("day", "compact", "appended")}
    kafka.create_topics({f"day-{stream.input}": 1}, {"retention.ms": "86400000"})
    kafka.create_topics({f"compact-{stream.input}": 1}, {"retention.ms": "86400000", "cleanup.policy": "compact"})
    kafka.create_topics(
        {f"appended-{stream.input}": 1}, {"retention.ms": "86400000", "message.timestamp.type": "LogAppendTime"}
    )
    for number, age_h in enumerate((1, 25)):
        record = make_record(" ", key=b"k", topic=stream.input, offset=number, timestamp=now_ms - age_h * 3600_000)
        stream.produce(stream.rejected(record, "no_text"))
    for topic, kind in topics.items():
        code, _, err = stream.dlq("redrive", "--yes", "--to-topic", topic)
        assert code == (ExitCode.INPUT if kind == "day" else ExitCode.OK)
        assert f"{'1 letter' if kind == 'day' else '2 letters'} sent: {topic}" in err
    assert (
        "1 not: its topic would soon delete it"
        in stream.dlq("redrive", "--dry-run", "--to-topic", f"day-{stream.input}")[2]
    )
    code, _, _ = stream.dlq("redrive", "--yes", "--to-topic", f"day-{stream.input}", "--from", "1", "--time", "now")
    assert code == ExitCode.OK
    assert stream.read(f"day-{stream.input}")[-1].timestamp >= now_ms


def test_a_letter_that_the_brokers_refuse_stops_no_other(stream: Stream, kafka: SharedKafka) -> None:
    strict, now_ms = f"strict-{stream.input}", round(time.time() * 1000)
    kafka.create_topics({strict: 1}, {"message.timestamp.before.max.ms": "3600000"})
    stream.produce(
        *(
            stream.rejected(
                make_record(" ", key=b"r%d" % n, topic=stream.input, offset=n, timestamp=now_ms - n % 2 * 7_200_000),
                "no_text",
            )
            for n in range(5)
        ),
        stream.rejected(make_record(None, topic=stream.input), "no_identity"),
    )
    code, _, err = stream.dlq("redrive", "--yes", "--to-topic", strict)
    assert code == ExitCode.INPUT
    assert f"3 letters sent: {strict} 3" in err
    assert "2 not: the brokers refuse it" in err
    assert "1 not: it has neither key nor value" in err
    assert "letters 0:1, 0:3: " in err
    assert [record.key for record in stream.read(strict)] == [b"r0", b"r2", b"r4"]


def test_a_redrive_does_not_read_what_comes_back_meanwhile(stream: Stream) -> None:
    fill(stream)
    everything = Selection(EARLIEST, LATEST)
    with closing(Topics(stream.worker_settings, ManualClock())) as topics:
        spans = letter_spans(topics, stream.dead, everything)
        seen = []
        for letter in read_letters(topics, spans, everything):
            seen.append(letter.place)
            stream.produce(stream.letter(100 + len(seen))._replace(partition=letter.record.partition))
            if len(seen) > LETTERS:
                break
    assert len(seen) == LETTERS


def test_more_letters_than_are_in_flight_at_once_are_all_sent(stream: Stream) -> None:
    stream.produce(*map(stream.letter, range(1200)))
    code, _, err = stream.dlq("redrive", "--yes", "--limit", "1100")
    assert (code, "1100 letters sent" in err) == (ExitCode.OK, True)
    assert len({record.key for record in stream.read(stream.input)}) == 1100


def test_poison_is_tried_three_times_and_then_refused(stream: Stream) -> None:
    stream.produce(Message(b'{"text": 5}', b"poison", [("traceparent", b"00")]))
    worker = stream.worker()
    for attempts in (1, 2, 3):
        worker.until(lambda n=attempts: len(stream.listed()) == n, f"letter {attempts}")  # type: ignore[misc]
        last = stream.listed()[-1]
        assert last["attempts"] == attempts
        words = ["--partition", str(last["partition"]), "--from", str(last["offset"])]
        code, _, err = stream.dlq("redrive", "--yes", *words)
        assert code == (ExitCode.OK if attempts < 3 else ExitCode.INPUT)
        assert ("1 letter sent" if attempts < 3 else "0 letters sent") in err
    assert worker.stop() == ExitCode.OK
    assert len(stream.read(stream.input)) == 3
    assert len(stream.listed()) == 3
    assert [letter["original_offset"] is not None for letter in stream.listed()] == [True] * 3
