"""What a trend takes: measured of what the store writes, and printed as the log has it."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.benchmarks import trend_memory
from tests.benchmarks.sizing import ASSUMED
from tests.conftest import ROOT


def test_every_review_of_the_history_is_in_its_days_and_versions() -> None:
    cells = Counter(trend_memory.reviews_of(10_000, 3, 1_795_821_910.0))
    assert cells.total() == 10_000
    assert {cell.version for cell in cells} == {"4.0.0", "4.1.0", "4.2.0"}
    assert {cell.star for cell in cells} == {1, 2, 3, 4, 5}
    hours = {cell.hour for cell in cells}
    assert max(hours) - min(hours) < trend_memory.DAYS * 24


def test_the_store_writes_what_is_measured_and_a_row_says_how_much(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert trend_memory.main(["--reviews", "2000"]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    versions, compact, reviews, keys, fields, size, hour = (
        int(cell.replace(",", "")) for cell in last.strip("| ").split(" | ")
    )
    assert (versions, compact, reviews) == (3, 512, 20)
    assert keys <= fields <= 20
    assert 0 <= hour * 90 * 24 <= size * 2
    monkeypatch.setattr(trend_memory, "_STARS", (0.0, 0.0, 0.0, 0.0, 1.0))
    assert trend_memory.main(["--reviews", "2000"]) == 0, "with other reviews, too"


def test_the_sizing_assumes_what_the_log_has_of_three_versions_at_once() -> None:
    rows = [
        line for line in (ROOT / "worker" / "LOG.md").read_text(encoding="utf-8").splitlines() if line[:5] == "| 3 |"
    ]
    assert f"| {ASSUMED['trend_bytes'].value:g} |" in next(row for row in rows if "| 1,000,000 |" in row)
