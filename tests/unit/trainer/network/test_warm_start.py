"""The vocabulary of a warm start: known words keep their ids, misspellings of them get the same ones."""

from __future__ import annotations

from pathlib import Path

from schemas.encoding import UNKNOWN_ID
from schemas.starter import starter_bundle
from trainer.network.warm_start import Start, grown
from trainer.settings import TrainSettings


def test_a_misspelling_gets_the_id_of_its_word_unless_it_has_one() -> None:
    start = Start("v", starter_bundle().manifest, {"terrible": 2, "terible": 3, "app": 4}, {})
    settings = TrainSettings(data=[Path("x.csv")])
    texts = ["terrible freshness app"] * 60 + ["terible terrbile freshnes trrible"]
    found = grown(texts, settings, [], start)
    table = found.table
    assert (table["terrible"], table["terible"], table["app"]) == (2, 3, 4), "as they were learned"
    assert table["terrbile"] == table["trrible"] == 2
    assert table["freshness"] == table["freshnes"] == 5
    encoder = found.encoder()
    assert encoder.encode(texts[-1]).tolist() == found.reference.encode(texts[-1])
    assert encoder.encode("unseen").tolist() == [UNKNOWN_ID]
