"""The records that the suite produces: reviews with known stars, and records that cannot be rated.

Owns the texts and each record's expected outcome, which the record carries in its header `expect` for the auditor. The
stars follow from the toy bundle's words (tests/fixtures/make_toy_bundle.py).
"""

from __future__ import annotations

import csv
import gzip
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from tests.chaos.launcher import KILLER
from tests.fixtures.records import Message

EXPECT: Final = "expect"
_APPS: Final = 7
_MOVED: Final = 7  # from this version on a review is of another app
_TEXTS: Final = {1: "worst app, terrible", 3: "it is an app", 5: "love it, great app"}


def review(number: int, *, version: int = 1, word: str = "", prefix: str = "r") -> Message:
    """Return a review that must be rated; another version has another text, often other stars, and some another app."""
    star = (1, 3, 5)[(number + version) % 3]
    text = f"{_TEXTS[star]} {word} #{version}"
    return _json(f"{prefix}{number}", text, f"rated:{star}", moved=version >= _MOVED)


def killer(number: int) -> Message:
    """Return a review that kills the process that rates it."""
    return _json(f"r{number}", f"great {KILLER}", "rejected:unratable")


def refused(number: int) -> Message:
    """Return a review that the runtime refuses."""
    return _json(f"r{number}", "great kaboom", "rejected:unratable")


def tombstone(number: int) -> Message:
    """Return the deletion of a review."""
    return _message(f"r{number}", None, "deleted")


def garbage(number: int) -> Message:
    """Return an invalid record, one of five kinds."""
    kinds = (
        (b'{"text": ', "not_json"),
        (b"\xff\xfe", "not_utf8"),
        (b'{"text": "  "}', "no_text"),
        (b'{"text": 5}', "wrong_type"),
        (b'{"text": "nul \\u0000"}', "null_byte"),
    )
    value, reason = kinds[number % len(kinds)]
    return _message(f"r{number}", value, f"rejected:{reason}")


def mixed(start: int, count: int, source: random.Random) -> Iterator[Message]:
    """Yield an ordinary stream: mostly new reviews, some edited, some deleted, and some invalid records."""
    for number in range(start, start + count):
        kind = source.random()
        older = source.randrange(max(1, number))
        if kind < 0.90:
            yield review(number)
        elif kind < 0.96:
            yield review(older, version=source.randint(2, 9))
        elif kind < 0.98:
            yield tombstone(older)
        else:
            yield garbage(number)


def unlabelled(path: Path, count: int) -> Iterator[Message]:
    """Yield `count` real reviews from a CSV with a column `content`, repeating the file as needed."""
    number = 0
    while number < count:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                if not row["content"].strip():
                    continue
                yield _json(f"r{number}", row["content"], "rated:")
                number += 1
                if number == count:
                    return


def _json(review_id: str, text: str, expect: str, *, moved: bool = False) -> Message:
    app = f"app-{(sum(review_id.encode()) + moved) % _APPS}"
    fields = {"review_id": review_id, "app_id": app, "text": text, "app_version": f"1.{len(text) % 3}"}
    if len(review_id) % 2:  # the others are of the hour in which they are sent
        fields["created_at"] = f"{datetime.now(UTC).date() - timedelta(days=len(text) % 5)}T10:00:00Z"
    return _message(review_id, json.dumps(fields, ensure_ascii=False).encode(), expect)


def _message(review_id: str, value: bytes | None, expect: str) -> Message:
    """Return a record with its expected outcome: `rated:<stars>`, `rejected:<reason>` or `deleted`."""
    return Message(value, review_id.encode(), [(EXPECT, expect.encode())])
