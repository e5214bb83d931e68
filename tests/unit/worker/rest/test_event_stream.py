"""A listener of the ratings: its filter, and what becomes of it when it is too slow."""

from __future__ import annotations

from typing import Any

import pytest

from tests.doubles import make_rated
from worker.rest.event_stream import Event, Listener

ANY: dict[str, Any] = {"app_id": None, "min_stars": None, "max_stars": None, "uncertain": False}


def rating(stars: int, app_id: str | None = None) -> Event:
    rated = make_rated("r", rating=stars, app_id=app_id)
    return Event("rating", rated.value, rated.rating)


@pytest.mark.parametrize(
    ("wanted", "seen"),
    [
        ({}, [1, 3, 5]),
        ({"min_stars": 3}, [3, 5]),
        ({"max_stars": 3}, [1, 3]),
        ({"app_id": "maps"}, [3]),
        ({"uncertain": True}, []),
    ],
)
def test_a_listener_gets_what_passes_its_filter(wanted: dict[str, Any], seen: list[int]) -> None:
    listener = Listener(**{**ANY, **wanted})
    for event in (rating(1), rating(3, "maps"), rating(5), Event("deleted", b"{}")):
        listener.offer(event)
    assert [event.rating.rating for event in listener.events if event.rating] == seen
    assert listener.events[-1].kind == "deleted"


def test_a_listener_that_is_too_slow_misses_ratings_and_is_told() -> None:
    listener = Listener(**ANY)
    for _ in range(250):
        listener.offer(rating(5))
    assert (len(listener.events), listener.missed) == (200, 50)
