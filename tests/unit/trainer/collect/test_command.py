from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.personal.mask import Masker
from trainer.__main__ import main
from trainer.collect.command import Collected, masked, sort_records, write
from trainer.collect.join import Labelled, Pool, Totals
from trainer.collect.settings import start_of
from trainer.collect.topics import LogRecord
from trainer.data.rows import Row, read_rows
from trainer.errors import DataError, Exit

NOW = datetime(2026, 5, 31, tzinfo=UTC)


def _record(value: Any, *, at: int = 0, key: str | None = None) -> LogRecord:
    content = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
    return LogRecord("reviews", 0, at, at, None if key is None else key.encode(), content)


def _outcome(*records: LogRecord, labels: Iterable[int] = ()) -> tuple[Collected, list[tuple[str, int]]]:
    with Pool() as pool:
        found = sort_records(records, pool, list(labels))
        found.totals = pool.totals()
        rows = [(row.text, row.score) for row in pool.labelled()]
    assert found.totals.written == len(rows)
    return found, rows


def _review(text: str, review_id: str, score: Any = None, *, at: int = 0) -> LogRecord:
    given = {"text": text, "review_id": review_id}
    return _record(given if score is None else {**given, "score": score}, at=at)


def _stars(review_id: str, score: Any, *, at: int = 0) -> LogRecord:
    return _record({"review_id": review_id, "score": score}, at=at)


@pytest.mark.parametrize(
    ("records", "written", "counted"),
    [
        ([_review("love it", "a", 5, at=1), _review("no idea", "b", at=2)], [("love it", 5)], {"unscored": 1}),
        ([_stars("a", 1, at=5), _stars("a", 2, at=9), _stars("a", 3, at=7), _review("fine", "a")], [("fine", 2)], {}),
        ([_review("fine", "a", 5, at=1), _stars("a", 2, at=4)], [("fine", 2)], {}),
        ([_stars("a", 2, at=4), _review("fine", "a", 5, at=8)], [("fine", 5)], {}),
        ([_review("fine", "a", 5, at=8), _review("older", "a", 1, at=2)], [("fine", 5)], {}),
        ([_review("one", "a", 4.0), _review("two", "b", 0)], [("one", 4), ("two", 0)], {}),
        ([_stars("gone", 4)], [], {"stars_without_review": 1}),
        ([_review("mine", "a", 5, at=1), _record(None, key="a", at=5)], [], {"deleted": 1}),
        ([_record(None, key="a", at=5), _review("mine", "a", 5, at=9)], [("mine", 5)], {}),
        (
            [_review("Great app!!", "a", 5, at=1), _review("great APP", "b", 4, at=2), _review("great", "c", 3, at=3)],
            [("great APP", 4), ("great", 3)],
            {"repeated": 1, "contradicted": 1},
        ),
    ],
)
def test_texts_get_their_latest_stars_and_the_others_are_counted(
    records: list[LogRecord], written: list[tuple[str, int]], counted: dict[str, int]
) -> None:
    found, rows = _outcome(*records)
    assert rows == written
    assert found.totals._asdict() == {**dict.fromkeys(Totals._fields, 0), "written": len(written), **counted}


def test_review_is_known_by_its_id_its_key_or_its_position() -> None:
    by_key = _record({"text": "one"}, key="k", at=3)
    by_position = _record(b"two words", at=4)
    found, rows = _outcome(by_key, by_position, _stars("k", 1, at=5), _stars("reviews-0-4", 2, at=6))
    assert rows == [("one", 1), ("two words", 2)]
    assert dict(found.kinds) == {"reviews": 2, "stars": 2}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (_record(b"\xff\xfe"), "not_utf8"),
        (_record(b"{broken"), "not_json"),
        (_record({"text": ""}), "no_text"),
        (_record(b"   "), "no_text"),
        (_record({"review_id": "a"}), "no_text"),
        (_record({"score": 3}), "no_text"),
        (_record({"review_id": 7, "score": 3}), "no_text"),
        (_record({"text": "x" * 20_001}), "text_too_long"),
        (_record({"text": "a\0b"}), "null_byte"),
        (_record({"text": "ok", "review_id": "i" * 257}), "bad_identifier"),
        (_record({"review_id": "i" * 257, "score": 3}), "bad_identifier"),
        (LogRecord("reviews", 0, 0, 0, b"k" * 257, b"fine"), "bad_identifier"),
        (_record(None), "no_identity"),
        (_review("ok", "a", 3.5), "score_not_whole"),
        (_stars("a", "four"), "score_not_whole"),
        (_stars("a", True), "score_not_whole"),
        (_record(b'{"review_id": "a", "score": NaN}'), "score_not_whole"),
        (_review("ok", "a", 9), "score_not_a_label"),
        (_stars("a", 10**400), "score_not_a_label"),
        (_stars("a", 10**30), "score_not_a_label"),
        (_record(b'{"review_id": "\\ud800", "score": 3}'), "not_json"),
        (_record(b"{" + b'"a":[' * 100_000), "not_json"),
    ],
)
def test_unusable_record_is_counted_by_its_reason(record: LogRecord, reason: str) -> None:
    found, rows = _outcome(record, labels=(1, 2, 3, 4, 5))
    assert (dict(found.bad), rows, found.records) == ({reason: 1}, [], 1)


def test_personal_data_is_masked_and_counted_unless_it_is_to_be_kept() -> None:
    rows = [
        Labelled("write to jo@example.com", 1, "jo@example.com", "app", 0),
        Labelled("fine", 5, "9876543210", "", 0),
    ]
    masker = Masker()
    assert [row[:3] for row in masked(rows, masker)] == [
        ("write to <e-mail>", 1, "<e-mail>"),
        ("fine", 5, "9876543210"),
    ]
    assert masker.counts == {"e-mail": 2}
    assert [*masked(rows, Masker(keep=True))] == rows


def test_file_is_what_train_reads_and_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "labelled.csv"
    path.write_text("before")
    texts = ['a "quoted", text', "two\nlines", "carriage\r\nreturn", "\N{THUMBS UP SIGN}"]
    write(path, [Labelled(text, at, f"id{at}", "", 1000 * at) for at, text in enumerate(texts)])
    assert list(read_rows(path)) == [Row(text, at) for at, text in enumerate(texts)]
    write(path, [Labelled("sent in microseconds", 1, "a", "", 1_700_000_000_000_000), Labelled("ok", 1, "a", "", 0)])
    assert len(list(read_rows(path))) == 2
    with path.open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file)) == ["content", "score", "review_id", "app_id", "at"]

    def interrupted() -> Iterable[Labelled]:
        yield Labelled("half", 1, "a", "", 0)
        raise KeyboardInterrupt

    whole = path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        write(path, interrupted())
    assert path.read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir()] == ["labelled.csv"]
    with pytest.raises(DataError, match="choose another"):
        write(tmp_path / "missing" / "labelled.csv", [])


@pytest.mark.parametrize(
    ("since", "start"),
    [
        ("30d", NOW - timedelta(days=30)),
        ("2w", NOW - timedelta(weeks=2)),
        ("90m", NOW - timedelta(minutes=90)),
        ("1d12h", NOW - timedelta(hours=36)),
        ("2026-05-01", datetime(2026, 5, 1, tzinfo=UTC)),
        ("2026-05-01T12:00:00+02:00", datetime(2026, 5, 1, 10, tzinfo=UTC)),
        ("all", None),
    ],
)
def test_since_is_a_span_a_time_or_all(since: str, start: datetime | None) -> None:
    assert start_of(since, NOW) == start


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--since", "30"], "--since: '30' is not a duration (90m, 30d)"),
        (["--topic", "a b"], "--topic"),
        (["--security-protocol", "SASL_SSL"], "needs --sasl-mechanism, --sasl-username and --sasl-password-file"),
    ],
)
def test_wrong_flags_are_named(flags: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["collect", "--bootstrap-servers", "127.0.0.1:9", "--out", "labelled.csv", *flags]
    assert main(argv) == Exit.USAGE
    assert said in capsys.readouterr().err
