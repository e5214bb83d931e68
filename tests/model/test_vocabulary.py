"""The compiled table gives the ids of the NLTK path, on a sample of every data set."""

from __future__ import annotations

from itertools import islice
from typing import Literal

import pytest

from tests.benchmarks.model_quality.cases import DATA
from tests.conftest import missing
from trainer.data.rows import Row, RowRules, read_rows
from trainer.settings import TextSettings
from trainer.text.vocabulary import learn

NLTK_DATA = DATA.parent / "nltk_data"
SETS = (
    "app_reviews.csv",
    "canva_reviews.csv",
    "clothing_reviews.csv.gz",
    "imdb_test.csv.gz",
    "unlabelled_reviews.csv.gz",
)


@pytest.mark.parametrize("normalise", ["none", "lemma", "stem"])
@pytest.mark.parametrize("name", SETS)
def test_compiled_table_gives_the_ids_of_the_nltk_path(
    name: str, normalise: Literal["none", "lemma", "stem"], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (DATA / name).is_file() or not NLTK_DATA.is_dir():
        missing(f"{DATA / name} or {NLTK_DATA} is not here")
    monkeypatch.setattr("nltk.data.path", [str(NLTK_DATA)])
    rows = islice(read_rows(DATA / name, RowRules(labelled=False)), 0, 6000, 15)
    texts = [row.text for row in rows if isinstance(row, Row)]
    assert len(texts) > 90
    vocabulary = learn(texts[::2], TextSettings(normalise=normalise, stop_words=normalise != "none", max_tokens=64))
    encoder, reference = vocabulary.encoder(), vocabulary.reference
    assert [text for text in texts if encoder.encode(text).tolist() != reference.encode(text)] == []
