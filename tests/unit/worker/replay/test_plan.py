"""The plan of a replay: read back as it was written, and whether a run may begin or continue it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import SettingsError
from worker.kafka.offset_range import Span
from worker.records import Partition
from worker.replay.plan import Plan, next_step, plan_from_json

ONE, TWO = Partition("reviews", 0), Partition("reviews", 1)
PLAN = Plan("g", "v1", "out", "earliest", "latest", {ONE: Span(10, 20), TWO: Span(0, 5)})
OFFSETS = st.integers(0, 1000)


@given(st.dictionaries(st.builds(Partition, st.text(), OFFSETS), st.builds(Span, OFFSETS, OFFSETS)), st.text())
def test_plan_is_read_back_as_it_was_written(spans: dict[Partition, Span], text: str) -> None:
    plan = Plan(text, text, text, text, text, spans)
    assert plan_from_json(plan.to_json()) == plan


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"spans": 3}', "null", "[" * 100_000])
def test_text_that_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a plan"):
        plan_from_json(text)


def test_plan_counts_the_offsets_done() -> None:
    assert PLAN.offsets == 15
    assert PLAN.done({}) == 0
    assert PLAN.done({ONE: 13, TWO: 5}) == 8
    assert PLAN.done({ONE: 2, TWO: 99}) == 5  # between none and all


def changed(**fields: Any) -> Plan:
    return replace(PLAN, **fields)


def test_first_run_begins_and_the_next_continues() -> None:
    assert next_step(PLAN, None, {}, restart=False) == "begin"
    assert next_step(PLAN, PLAN, {ONE: 13, TWO: 0}, restart=False) == "continue"
    asked = changed(spans={ONE: Span(0, 0), TWO: Span(0, 0)})  # the stored plan's ends count
    assert next_step(asked, PLAN, {ONE: 13, TWO: 0}, restart=False) == "continue"
    assert next_step(PLAN, PLAN, {ONE: 13, TWO: 0}, restart=True) == "begin"
    assert next_step(changed(topic_out="new"), PLAN, {ONE: 13}, restart=True) == "begin"


@pytest.mark.parametrize(
    ("stored", "committed", "message"),
    [
        (None, {ONE: 3}, r"--group g: has offsets, but nothing under --redis-prefix"),
        (PLAN, {ONE: 3}, r"--group g: its committed offsets have expired"),
        (PLAN, {}, r"--group g: its committed offsets have expired"),
        (changed(group="h"), {ONE: 3, TWO: 3}, r"--group g: this replay was begun with h"),
        (changed(topic_out="old"), {ONE: 3, TWO: 3}, r"--topic-out out: .* begun with old"),
        (changed(start="7"), {ONE: 3, TWO: 3}, r"--from earliest: .* begun with 7"),
        (changed(end="2026-01-01T00:00:00.000Z"), {ONE: 3, TWO: 3}, r"--to latest: .* begun with 2026"),
        (changed(spans={Partition("other", 0): Span(0, 1)}), {ONE: 3}, r"WORKER_INPUT_TOPICS reviews: .* other"),
    ],
)
def test_run_that_does_not_fit_names_the_flag_and_how_to_begin_again(
    stored: Plan | None, committed: dict[Partition, int], message: str
) -> None:
    with pytest.raises(SettingsError, match=message + r".*--restart begins again"):
        next_step(PLAN, stored, committed, restart=False)
    assert next_step(PLAN, stored, committed, restart=True) == "begin"


@pytest.mark.parametrize("restart", [False, True])
def test_another_version_needs_a_prefix_of_its_own(restart: bool) -> None:
    with pytest.raises(SettingsError, match="--redis-prefix: holds the ratings of v0"):
        next_step(PLAN, changed(version="v0"), {}, restart=restart)
