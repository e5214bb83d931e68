"""The starter: whole, small, without any review's text, and right about what the demo sends."""

from __future__ import annotations

import hashlib
import re

from deploy.demo.reviews import HAND_WRITTEN, PLAIN_TEXT
from schemas.bundle import MANIFEST_FILE
from schemas.starter import STARTER_FILE, read_starter, starter_bundle, starter_bytes, starter_version
from trainer.export.golden import GOLDEN_TEXTS
from trainer.export.runtime import open_interpreter

MOST_BYTES = 6_000_000

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


def test_its_table_has_single_words_only() -> None:
    surfaces = [line.rpartition("\t")[0] for line in read_starter().files["encoder.tsv"].decode().split("\n")[:-1]]
    assert [surface for surface in surfaces if re.search(r"\s|@\w|://|\d{8}", surface)] == []
    assert max(map(len, surfaces)) <= 40
