"""What the demo says before and while it works."""

from __future__ import annotations

import io
import json
from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from rich.console import Console

from deploy.demo.__main__ import REGISTRY, how_long
from deploy.demo.history import APPS, DROPS, reviews_of
from deploy.demo.recount import recount
from deploy.demo.step import step
from schemas.rating import Rating
from tests.doubles import WALL_S, make_rated


def test_it_says_beforehand_how_long_it_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert how_long().startswith("The first stars are there in half a minute, by the starter model")
    REGISTRY.mkdir()
    (REGISTRY / "channels.json").write_text("{}")
    assert how_long().startswith("This takes less than half a minute")


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A sample set whose texts name their stars."""
    path = tmp_path / "sample.csv"
    rows = [f"{star} stars of number {number},{star}" for star in range(1, 6) for number in range(100)]
    path.write_text("\n".join(["content,score", *rows]))
    return path


def test_the_history_is_two_weeks_of_three_apps_of_which_one_drops_after_a_version(sample: Path) -> None:
    values = {review_id: json.loads(value) for review_id, value in reviews_of(sample, WALL_S)}
    assert len(values) == 630
    ages = [(WALL_S - datetime.fromisoformat(value["created_at"]).timestamp()) / 86_400 for value in values.values()]
    assert 0 <= min(ages) < 1
    assert 13 < max(ages) <= 14
    means: dict[tuple[str, str], list[int]] = {}
    for value in values.values():
        means.setdefault((value["app_id"], value["app_version"]), []).append(int(value["text"][0]))
    mean = {of: sum(stars) / len(stars) for of, stars in means.items()}
    assert set(mean) == {(app, version) for app in APPS for version in ("1.0", "2.0")}
    assert mean.pop((DROPS, "2.0")) < 2
    assert min(mean.values()) > 3


def test_a_recount_has_the_rows_of_a_trend() -> None:
    def rated(rating: int, created_at: str, app: str = DROPS) -> Rating:
        return replace(make_rated(rating=rating, app_id=app).rating, created_at=created_at, app_version="2.0")

    some = [rated(5, "2026-11-27T23:30:00Z"), rated(1, "2026-11-28T00:30:00+02:00"), rated(1, "2026-11-28T00:00:00Z")]
    ratings = [*some, rated(3, "2026-11-28T00:00:00Z", "another")]
    assert recount(ratings, DROPS, "day") == {"2026-11-27": Counter({5: 1, 1: 1}), "2026-11-28": Counter({1: 1})}
    assert recount(ratings, DROPS, "version") == {"2.0": Counter({1: 2, 5: 1})}
    assert set(recount(ratings, DROPS, "hour")) == {"2026-11-27T22:00Z", "2026-11-27T23:00Z", "2026-11-28T00:00Z"}


def test_a_step_is_named_when_it_begins_and_leaves_nothing_on_a_terminal() -> None:
    plain, terminal = io.StringIO(), io.StringIO()
    with step(Console(file=plain), "starting Redis"):
        assert plain.getvalue() == "starting Redis\n"
    assert plain.getvalue() == "starting Redis\n"
    with step(Console(file=terminal, force_terminal=True), "starting Redis"):
        pass
    assert "starting Redis" in terminal.getvalue()
    assert terminal.getvalue().rstrip("\x1b[?25hl").endswith("\x1b[2K")
