"""Reviews, stars sent later and deletions, joined on disk by review id.

Owns the join and the rule that the latest record wins. A SQLite file in the temporary folder, so memory does not grow
with the stream. Never reads Kafka; `command` fills it and reads the result.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

# `joined` has a row for each review that was not deleted later, with its own stars or those that came after them.
_SCHEMA = """
PRAGMA journal_mode = OFF;  -- the file is removed with the process, so it needs no journal
PRAGMA synchronous = OFF;
CREATE TABLE reviews (id TEXT PRIMARY KEY, at INTEGER, words INTEGER, text TEXT, score INTEGER, app TEXT);
CREATE TABLE stars (id TEXT PRIMARY KEY, at INTEGER, score INTEGER);
CREATE TABLE deletions (id TEXT PRIMARY KEY, at INTEGER);
CREATE VIEW joined AS
SELECT reviews.id, reviews.at, words, text, app,
    CASE WHEN stars.score IS NOT NULL AND (reviews.score IS NULL OR stars.at >= reviews.at)
        THEN stars.score ELSE reviews.score END AS score
FROM reviews LEFT JOIN stars USING (id) LEFT JOIN deletions USING (id)
WHERE deletions.at IS NULL OR deletions.at < reviews.at;
CREATE VIEW texts AS
SELECT *, ROW_NUMBER() OVER (PARTITION BY words ORDER BY at DESC, id DESC) AS place FROM joined WHERE score IS NOT NULL;
BEGIN;
"""
_ADD_REVIEW = """
INSERT INTO reviews VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
at = excluded.at, words = excluded.words, text = excluded.text, score = excluded.score, app = excluded.app
WHERE excluded.at >= at
"""
_ADD_STARS = """
INSERT INTO stars VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET at = excluded.at, score = excluded.score
WHERE excluded.at >= at
"""
_ADD_DELETION = """
INSERT INTO deletions VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET at = excluded.at WHERE excluded.at >= at
"""
_TOTALS = """
SELECT
    (SELECT COUNT(*) FROM texts WHERE place = 1),
    (SELECT COUNT(*) FROM joined WHERE score IS NULL),
    (SELECT COUNT(*) FROM reviews) - (SELECT COUNT(*) FROM joined),
    (SELECT COUNT(*) FROM texts WHERE place > 1),
    (SELECT COUNT(*) FROM (SELECT 1 FROM texts GROUP BY words HAVING MIN(score) < MAX(score))),
    (SELECT COUNT(*) FROM stars WHERE id NOT IN (SELECT id FROM reviews))
"""


class Labelled(NamedTuple):
    """A text with its author's stars."""

    text: str
    score: int
    review_id: str
    app_id: str
    at_ms: int


class Totals(NamedTuple):
    """The reviews by what happened to them, each counted once; `written` are those that `labelled` yields."""

    written: int
    unscored: int
    deleted: int
    repeated: int
    contradicted: int
    stars_without_review: int


class Pool:
    """The reviews, stars and deletions of one collection; a context manager that removes its file."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="starstream-collect-")
        self._found = sqlite3.connect(Path(self._folder.name) / "pool.sqlite", isolation_level=None)
        self._found.executescript(_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._found.close()
        self._folder.cleanup()

    def add_review(self, review: Labelled, score: int | None, words: int) -> None:
        """Add a review; it replaces an earlier one of its id. `words` is the 64-bit hash of its folded text."""
        row = (review.review_id, review.at_ms, words - 2**63, review.text, score, review.app_id)
        self._found.execute(_ADD_REVIEW, row)

    def add_stars(self, review_id: str, score: int, at_ms: int) -> None:
        """Add stars that were sent without a text; the latest of a review stay."""
        self._found.execute(_ADD_STARS, (review_id, at_ms, score))

    def add_deletion(self, review_id: str, at_ms: int) -> None:
        """Add a deletion."""
        self._found.execute(_ADD_DELETION, (review_id, at_ms))

    def labelled(self) -> Iterator[Labelled]:
        """Yield each text that has stars once, as its latest review has it, oldest first."""
        rows = self._found.execute("SELECT text, score, id, app, at FROM texts WHERE place = 1 ORDER BY at, id")
        yield from map(Labelled._make, rows)

    def totals(self) -> Totals:
        """Return the counts."""
        return Totals._make(self._found.execute(_TOTALS).fetchone())
