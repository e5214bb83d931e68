"""The starter holds no review of the sets that it was trained on."""

from __future__ import annotations

import csv
import gzip
import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.bundle import MANIFEST_FILE, REPORT_FILE
from schemas.starter import CARD_FILE, read_starter
from tests.conftest import ROOT
from tests.fixtures.running import data_file
from trainer.evaluation.behaviour import families
from trainer.export.golden import GOLDEN_TEXTS

WORDS = 6  # in a row that a review and the starter share only when one was copied from the other


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def runs(text: str) -> Iterator[tuple[str, ...]]:
    """Every `WORDS` words in a row."""
    found = words(text)
    return zip(*(found[at:] for at in range(WORDS)), strict=False)


def own_texts() -> set[tuple[str, ...]]:
    """What our own sources say: the golden set, the checks of behaviour, the report, the names of its fields."""
    sources = [
        path for room in ("trainer", "schemas") for path in (ROOT / room).rglob("*") if path.suffix in {".py", ".j2"}
    ]
    checks = [text for family in families().values() for check in family for text in check.texts]
    return {
        run for text in (*GOLDEN_TEXTS, *checks, *(path.read_text("utf-8") for path in sources)) for run in runs(text)
    }


def reviews(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        yield from (row["content"] for row in csv.DictReader(file))


@pytest.mark.parametrize(
    "name", ["app_reviews.csv", "other_apps.csv.gz", "clothing_reviews.csv.gz", "unlabelled_reviews.csv.gz"]
)
def test_it_holds_no_review_of_the_sets_it_was_trained_on(name: str) -> None:
    path = data_file(name)
    files = read_starter().files
    report = html.unescape(re.sub(r"<[^>]*>|data:[^\"')]*", " ", files[REPORT_FILE].decode()))
    held = [report, files[MANIFEST_FILE].decode(), CARD_FILE.read_text("utf-8")]
    ours = {run for text in held for run in runs(text)} - own_texts()
    assert len(ours) > 100, "the comparison has something to compare"
    copied = {run for review in reviews(path) for run in runs(review) if run in ours}
    assert copied == set()
