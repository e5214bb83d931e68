"""Writes begun ahead: in order, for their batch alone, and all behind a failed one fail with it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from worker.sinks.ahead import Ahead


class Sender:
    """Answers with the call itself once it may; a call of `bad` fails."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.sent: list[Any] = []

    def __call__(self, calls: Any) -> list[str]:
        assert self.may.wait(10)
        self.sent += calls
        if ["bad"] in calls:
            raise ConnectionError("gone")
        return [call[0] for call in calls]


def test_a_part_is_on_its_way_while_the_caller_goes_on_and_answers_keep_their_order() -> None:
    sender = Sender()
    ahead: Ahead[str] = Ahead(sender)
    rows = ["a", "b", "c", "d"]
    ahead.send(rows[:2], [["w"], ["r"]])
    ahead.send(rows[2:3], [["s"]])
    assert sender.sent == []
    begun = ahead.taken(rows)
    assert begun.count == 3
    sender.may.set()
    assert begun.results() == ["w", "r", "s"]
    assert ahead.taken(rows).count == 0, "it is forgotten"
    ahead.close()


def test_behind_a_failed_part_nothing_is_sent() -> None:
    sender = Sender()
    ahead: Ahead[str] = Ahead(sender)
    rows = ["a", "b"]
    ahead.send(rows[:1], [["bad"]])
    ahead.send(rows[1:], [["w"]])
    sender.may.set()
    with pytest.raises(ConnectionError, match="gone"):
        ahead.taken(rows).results()
    assert sender.sent == [["bad"]]
    ahead.send(rows, [["w"]])
    assert ahead.taken(rows).results() == ["w"], "the next batch is another matter"
    ahead.close()


def test_what_is_on_its_way_for_other_rows_counts_for_none_of_these() -> None:
    sender = Sender()
    sender.may.set()
    ahead: Ahead[list[int]] = Ahead(sender)
    ahead.send([[1]], [["w"]])
    assert ahead.taken([[1]]).count == 0, "equal is not the same"
    assert sender.sent == [["w"]], "it has arrived before anything else is sent"
    ahead.close()
