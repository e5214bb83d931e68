"""The reviews that are fed in: real texts at their natural lengths, as many as asked for.

Owns which set is taken and says so. Texts repeat when more are asked for than there are; identities never do.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
UNLABELLED: Final = ROOT.parent / "shared" / "data" / "unlabelled_reviews.csv.gz"
SAMPLE: Final = ROOT / "build" / "sample.csv"
_APPS: Final = 20  # summaries in Redis; real streams have few apps and many reviews


class CorpusError(RuntimeError):
    """No reviews to feed in; the message says how to get some."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Texts and where they are from."""

    name: str
    texts: list[str]

    def records(self, count: int, prefix: str = "r") -> Iterator[tuple[bytes, bytes]]:
        """Yield so many keys and values of the input topic."""
        for number, text in enumerate(islice(cycle(self.texts), count)):
            yield review(f"{prefix}{number:08d}", text, number)


def review(review_id: str, text: str, number: int) -> tuple[bytes, bytes]:
    """Return key and value of one review, as a producer writes it."""
    value = {"review_id": review_id, "app_id": f"app{number % _APPS:02d}", "text": text}
    return review_id.encode(), json.dumps(value, ensure_ascii=False).encode()


def read_corpus() -> Corpus:
    """Return the unlabelled reviews beside the repository, else the sample set.

    Raises:
        CorpusError: there is neither.
    """
    if UNLABELLED.exists():
        with gzip.open(UNLABELLED, "rt", encoding="utf-8", newline="") as file:
            return Corpus(f"{UNLABELLED.name} (app-store reviews)", _texts(file))
    if SAMPLE.exists():
        with SAMPLE.open(encoding="utf-8", newline="") as file:
            return Corpus("the sample set (product and film sentences)", _texts(file))
    raise CorpusError(f"no reviews to feed in: python -m trainer sample --out {SAMPLE.relative_to(ROOT)}")


def _texts(file: Iterator[str]) -> list[str]:
    rows = csv.DictReader(file)
    column = next((name for name in rows.fieldnames or [] if name in {"content", "text", "review"}), None)
    if column is None:
        raise CorpusError(f"no column content, text or review among {rows.fieldnames}")
    return [row[column] for row in rows if row[column].strip()]
