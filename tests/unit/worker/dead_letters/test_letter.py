"""Dead letters: what their headers say, which are selected, and that a redrive cannot run in circles."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.dead_letter import CONNECT, OWN, REJECT_REASONS, SPRING
from schemas.personal.mask import Masker
from tests.doubles import TIMESTAMP_MS, make_record
from worker.dead_letters.letter import FOREIGN, REASONS, Guard, Selection, as_sent, header_text, read_letter
from worker.dead_letters.show import letter_fields
from worker.kafka.offset_range import EARLIEST, LATEST, Point
from worker.kafka.outgoing import OutgoingForm, outgoing
from worker.records import Pending, PlainRecord, Record, Rejected
from worker.settings import WorkerSettings
from worker.stream.parse import Parser
from worker.stream.rejection import ATTEMPTS_HEADER, rejected

SETTINGS = WorkerSettings(_env_file=None)
ALL = Selection(EARLIEST, LATEST)
OTHER_HEADERS = st.lists(
    st.tuples(
        st.text(max_size=20).filter(lambda name: not name.startswith((CONNECT, SPRING, OWN))), st.binary(max_size=20)
    ),
    max_size=5,
)


def dead(record: Record, *, offset: int = 0, partition: int = 0) -> PlainRecord:
    """Return the dead letter of a record that a worker could not rate."""
    sent = outgoing(rejected(record, "no_text", "text: blank", model_version="v1"), SETTINGS)
    assert sent.timestamp_ms is not None
    return PlainRecord(sent.topic, partition, offset, sent.timestamp_ms, sent.key, sent.value, sent.headers)


def foreign(**headers: bytes) -> PlainRecord:
    """Return a dead letter of another program; `spring_topic` and `connect_topic` name its headers."""
    families = {"spring": f"{SPRING}original-", "connect": CONNECT}
    named = [(families[name.partition("_")[0]] + name.partition("_")[2], value) for name, value in headers.items()]
    return make_record("x", topic="reviews.dlq", headers=named)


def test_letter_has_what_the_worker_wrote() -> None:
    letter = read_letter(dead(make_record(" ", key=b"r1", partition=3, offset=2**40), offset=7, partition=1))
    assert (letter.place, letter.reason, letter.topic, letter.partition) == ("1:7", "no_text", "reviews", 3)
    assert (letter.offset, letter.timestamp_ms, letter.attempts) == (2**40, TIMESTAMP_MS, 1)
    assert (letter.model_version, letter.truncated) == ("v1", False)


def test_letter_cut_to_fit_says_so() -> None:
    small = SETTINGS.model_copy(update={"max_message_bytes": 10})
    sent = outgoing(rejected(make_record("x" * 50), "text_too_long", "", model_version="v1"), small)
    assert read_letter(make_record(sent.value, headers=sent.headers)).truncated


def test_letters_of_spring_and_of_connect_are_read() -> None:
    spring = read_letter(
        foreign(spring_topic=b"t", spring_partition=struct.pack(">i", 5), spring_offset=struct.pack(">q", 6))
    )
    connect = read_letter(foreign(connect_topic=b"t", connect_partition=b"5", connect_offset=b"6"))
    for letter in (spring, connect):
        assert (letter.topic, letter.partition, letter.offset) == ("t", 5, 6)
        assert (letter.reason, letter.attempts, letter.model_version) == (FOREIGN, 1, None)


@pytest.mark.parametrize("value", [b"", b"abc", b"\xff" * 3, b"12345678901"])
def test_invalid_numbers_are_unknown(value: bytes) -> None:
    letter = read_letter(
        foreign(spring_partition=value, spring_offset=value, connect_partition=b"two", connect_offset=b"9" * 5000)
    )
    assert (letter.topic, letter.partition, letter.offset) == (None, None, None)


@given(OTHER_HEADERS, st.sampled_from([name + end for name in (CONNECT, SPRING, OWN) for end in ("x", "topic", "")]))
def test_any_header_is_read_without_an_error(headers: list[tuple[str, bytes]], name: str) -> None:
    for value in (b"", b"\xff", struct.pack(">q", -1), struct.pack(">q", 2**63 - 1)):
        letter = read_letter(make_record(None, headers=[*headers, (name, value)], timestamp=2**62))
        assert letter_fields(letter, Masker())["value_bytes"] is None
        assert header_text(name, value) is not None


def test_headers_are_shown_by_type() -> None:
    assert header_text(f"{SPRING}original-offset", struct.pack(">q", 70_000)) == "70000"
    assert header_text(f"{SPRING}original-partition", struct.pack(">i", 3)) == "3"
    assert header_text(f"{SPRING}original-topic", b"abcd") == "abcd"  # four bytes, but no number
    assert header_text("any", "é".encode()) == "é"
    assert header_text("any", b"\xff\x00") == "0xff00"


def test_a_key_that_the_topic_asked_for_is_not_sent_back() -> None:
    form = OutgoingForm(SETTINGS)
    record = make_record("x", offset=7)
    form.learn("record", [form.of(rejected(record, "no_text", "", model_version="v"))], exact=True)
    sent = form.of(rejected(record, "no_text", "", model_version="v"))
    letter = read_letter(make_record("x", key=sent.key, headers=sent.headers))
    assert (letter.record.key, letter.key, letter.truncated) == (b"reviews-0-7", None, False)
    large = form.of(rejected(make_record("x", key=b"k" * 900_000), "no_text", "", model_version="v"))
    assert read_letter(make_record("x", key=large.key, headers=large.headers)).truncated


def test_a_redriven_record_without_a_key_is_the_review_that_it_was() -> None:
    """Known by its position, also when it is rejected and sent again; a null value deletes nothing."""
    record: Record = make_record('{"text": 5}', topic="reviews", partition=2, offset=7)
    for offset in (40, 50):
        sent = as_sent(read_letter(dead(record)), "reviews")
        assert sent.key == b"reviews-2-7"
        record = make_record("fine now", key=sent.key, topic="reviews", partition=2, offset=offset)
        pending = Parser("auto", 100).parse(record, "v1")
        assert isinstance(pending, Pending)
        assert pending.review_id == "reviews-2-7"
        record = make_record(sent.value, key=sent.key, topic="reviews", partition=2, offset=offset)
    assert as_sent(read_letter(dead(make_record(None))), "reviews").key is None
    assert as_sent(read_letter(foreign(spring_topic=b"reviews")), "reviews").key is None


@given(OTHER_HEADERS)
def test_redriven_record_has_the_headers_it_was_produced_with(headers: list[tuple[str, bytes]]) -> None:
    letter = read_letter(dead(make_record(" ", headers=headers)))
    assert as_sent(letter, "reviews").headers == [*headers, (ATTEMPTS_HEADER, b"1")]


@given(st.integers(1, 6), st.integers(0, 10))
def test_a_record_is_tried_max_attempts_times_and_no_more(max_attempts: int, rounds: int) -> None:
    guard = Guard(None, {"reviews.dlq", "ratings"}, max_attempts)
    record: Record = make_record(" ")
    tried = 0
    for _ in range(1 + rounds):
        outcome = Parser("auto", 100).parse(record, "v1")
        assert isinstance(outcome, Rejected)
        tried += 1
        letter = read_letter(dead(record))
        assert letter.attempts == outcome.letter.attempts == tried
        if guard.refusal(letter, 0):
            break
        record = make_record(letter.record.value, headers=as_sent(letter, "reviews").headers)
    assert tried == min(max_attempts, 1 + rounds)


@pytest.mark.parametrize(
    ("headers", "attempts"),
    [
        ([], 0),
        ([(ATTEMPTS_HEADER, b"2")], 2),
        ([(ATTEMPTS_HEADER, b"2"), (ATTEMPTS_HEADER, b"4")], 4),
        ([(ATTEMPTS_HEADER, b"many")], 0),
        ([(ATTEMPTS_HEADER, b"-1")], 0),
        ([(ATTEMPTS_HEADER, b"")], 0),
        ([(ATTEMPTS_HEADER, None)], 0),
        ([(ATTEMPTS_HEADER, b"9" * 5000)], 0),
        ([("attempts", b"2")], 0),
    ],
)
def test_rejection_adds_one_to_the_last_count(headers: list[Any], attempts: int) -> None:
    letter = rejected(make_record(" ", headers=headers), "no_text", "", model_version="v1").letter
    assert letter.attempts == attempts + 1
    written = letter.headers([(name, value or b"") for name, value in headers])
    assert [value for name, value in written if name == ATTEMPTS_HEADER] == [str(attempts + 1).encode()]


def test_every_reason_can_be_selected() -> None:
    assert set(REJECT_REASONS) < set(REASONS)


def test_filters_narrow_by_reason_topic_and_time() -> None:
    letter = read_letter(dead(make_record(" ", topic="reviews")))
    now = TIMESTAMP_MS
    assert ALL.holds(letter)
    for start, end, reasons, topic, holds in (
        (EARLIEST, LATEST, ["no_text", "not_json"], None, True),
        (EARLIEST, LATEST, ["not_json"], None, False),
        (EARLIEST, LATEST, [], "reviews", True),
        (EARLIEST, LATEST, [], "orders", False),
        (Point("time", now), LATEST, [], None, True),
        (Point("time", now + 1), LATEST, [], None, False),
        (EARLIEST, Point("time", now + 1), [], None, True),
        (EARLIEST, Point("time", now), [], None, False),
        (Point("offset", 10**6), Point("offset", 0), [], None, True),  # offsets bound the reading, not the letter
    ):
        assert Selection(start, end, reasons, topic).holds(letter) is holds


def test_guard_refuses_letters_that_would_come_back() -> None:
    forbidden = {"reviews.dlq", "ratings"}
    letter = read_letter(dead(make_record(" ")))
    tired = read_letter(dead(make_record(" ", headers=[(ATTEMPTS_HEADER, b"2")])))
    nowhere = read_letter(make_record("x", topic="reviews.dlq"))
    itself = read_letter(dead(make_record(" ", topic="reviews.dlq")))
    output = read_letter(dead(make_record(" ", topic="ratings")))
    home = Guard(None, forbidden, 3)
    elsewhere = Guard("repaired", forbidden, 3)
    assert home.refusal(letter, 0) is None
    assert home.refusal(letter, None) == "no_such_topic"
    assert home.refusal(tired, 0) == "attempts"
    assert elsewhere.refusal(tired, 0) == "attempts"
    assert home.refusal(nowhere, 0) == "no_origin"
    assert elsewhere.refusal(nowhere, 0) is None
    assert home.refusal(itself, 0) == home.refusal(output, 0) == "forbidden_topic"
    assert elsewhere.refusal(output, 0) is None
    assert Guard("reviews.dlq", forbidden, 3).refusal(letter, 0) == "forbidden_topic"


def test_letter_that_its_topic_would_delete_is_refused() -> None:
    guard = Guard(None, (), 3)
    letter = read_letter(dead(make_record(" ")))
    assert guard.refusal(letter, TIMESTAMP_MS) is None
    assert guard.refusal(letter, TIMESTAMP_MS + 1) == "too_old"
    timeless = read_letter(make_record("x", timestamp=-1, headers=[(f"{SPRING}original-topic", b"t")]))
    assert guard.refusal(timeless, TIMESTAMP_MS) is None
