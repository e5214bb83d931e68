"""The starter: whole, small, without any review's text, and right about what the demo sends."""

from __future__ import annotations

import csv
import gzip
import hashlib
import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.demo.reviews import HAND_WRITTEN, PLAIN_TEXT
from schemas.bundle import MANIFEST_FILE, REPORT_FILE
from schemas.starter import CARD_FILE, STARTER_FILE, read_starter, starter_bundle, starter_bytes, starter_version
from tests.conftest import ROOT
from tests.fixtures.running import data_file
from trainer.evaluation.behaviour import families
from trainer.export.golden import GOLDEN_TEXTS
from trainer.export.runtime import open_interpreter

MOST_BYTES = 6_000_000
WORDS = 6  # in a row that a review and the starter share only when one was copied from the other

# What a person would say, the demo's thirteen sentences: the stars that are right.
STARS = {
    "love": {5},
    "solid": {4, 5},
    "fine": {3},
    "meh": {2, 3},
    "broken": {1},
    "emoji-up": {5},
    "emoji-down": {1},
    "negated": {1, 2},
    "elongated": {5},
    "sarcasm": {1, 2},
    "film": {5},
    "dull": {1, 2},
    "plain": {5},
}


def test_it_is_small_and_the_same_version_gives_the_same_bytes() -> None:
    content = STARTER_FILE.read_bytes()
    assert len(content) < MOST_BYTES
    assert starter_bytes(read_starter()) == content


def test_it_is_a_whole_version_with_what_a_warm_start_needs() -> None:
    found = read_starter()
    manifest = starter_bundle().manifest
    assert found.version == starter_version() == manifest.version
    assert {*found.files} == {*manifest.files, MANIFEST_FILE}
    assert hashlib.sha256(found.weights).hexdigest() == manifest.training["weights"]["sha256"]
    assert [review.text for review in manifest.golden] == [*GOLDEN_TEXTS], "none is a customer's"
    assert manifest.decision.labels == [1, 2, 3, 4, 5]


def test_the_sentences_of_the_demo_get_the_stars_a_person_would_give() -> None:
    texts = {**HAND_WRITTEN, "plain": PLAIN_TEXT}
    model = starter_bundle().load(open_interpreter)
    scores = model.score([*texts.values()])
    found = {name: model.decision.labels[choice] for name, choice in zip(texts, scores.choices, strict=True)}
    assert {name: star for name, star in found.items() if star not in STARS[name]} == {}


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


def test_its_table_has_single_words_only() -> None:
    surfaces = [line.rpartition("\t")[0] for line in read_starter().files["encoder.tsv"].decode().split("\n")[:-1]]
    assert [surface for surface in surfaces if re.search(r"\s|@\w|://|\d{8}", surface)] == []
    assert max(map(len, surfaces)) <= 40
