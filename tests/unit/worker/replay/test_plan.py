"""Replay: bounds, whether a run may go on, what it may write, when it is done, and the arithmetic of its diff."""

from __future__ import annotations

import argparse
import io
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.doubles import ManualClock, MemoryCluster, MemoryDelivery, MemorySource, make_rated, make_record
from tests.fixtures.world import KAFKA_GONE, SETTINGS, World
from worker.__main__ import main
from worker.errors import ExitCode, SettingsError, TransientError
from worker.kafka.offset_range import EARLIEST, LATEST, Point, Span, parse_point
from worker.ops.progress import LongRun
from worker.records import Deleted, Outcome, Partition
from worker.replay import command
from worker.replay.delivery import ReplayDelivery
from worker.replay.diff import FIELDS, Diff, Side, side_of
from worker.replay.loop import run_to_end
from worker.replay.plan import Plan, next_step, plan_from_json
from worker.replay.report import Report, write_report
from worker.stream.parse import rejected

ONE, TWO = Partition("reviews", 0), Partition("reviews", 1)
PLAN = Plan("g", "v1", "out", "earliest", "latest", {ONE: Span(10, 20), TWO: Span(0, 5)})
FLAGS = "replay --from earliest --version v1 --topic-out out --redis-prefix new:"
OFFSETS = st.integers(0, 1000)


# bounds


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("earliest", EARLIEST),
        ("latest", LATEST),
        ("0", Point("offset", 0)),
        ("20260301", Point("offset", 20260301)),
        ("2026-03-01", Point("time", 1772323200_000)),
        ("2026-03-01T00:00:00Z", Point("time", 1772323200_000)),
        ("2026-03-01T01:00:00.250+01:00", Point("time", 1772323200_250)),
        ("1960-01-01", Point("time", 0)),
    ],
)
def test_when_is_a_time_an_offset_or_an_end(text: str, point: Point) -> None:
    assert parse_point("--from", text) == point
    assert parse_point("--from", str(point)) == point


@pytest.mark.parametrize("text", ["", "-1", "1.5", "yesterday", "2026-02-30", "٣"])
def test_wrong_when_names_its_flag(text: str) -> None:
    with pytest.raises(SettingsError, match=rf"^--to {text}: not an ISO 8601 time"):
        parse_point("--to", text)


def test_points_come_to_offsets_within_the_log() -> None:
    log = Span(100, 200)
    for point, first_at, offset in (
        (EARLIEST, None, 100),
        (LATEST, None, 200),
        (Point("offset", 150), None, 150),
        (Point("offset", 5), None, 100),
        (Point("offset", 500), None, 200),
        (Point("time", 1), 120, 120),
        (Point("time", 1), None, 200),  # no record so late: nothing to read from there
    ):
        assert point.among(log, first_at) == offset


@given(OFFSETS, OFFSETS, OFFSETS, st.none() | OFFSETS, st.sampled_from(["earliest", "offset", "time", "latest"]))
def test_no_point_leads_out_of_the_log(start: int, size: int, value: int, first_at: int | None, kind: str) -> None:
    log = Span(start, start + size)
    assert log.start <= Point(kind, value).among(log, first_at) <= log.end  # type: ignore[arg-type]


# plan


@given(st.dictionaries(st.builds(Partition, st.text(), OFFSETS), st.builds(Span, OFFSETS, OFFSETS)), st.text())
def test_plan_is_read_back_as_it_was_kept(spans: dict[Partition, Span], text: str) -> None:
    plan = Plan(text, text, text, text, text, spans)
    assert plan_from_json(plan.to_json()) == plan


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"spans": 3}', "null"])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a plan"):
        plan_from_json(text)


def test_plan_counts_what_is_done() -> None:
    assert PLAN.offsets == 15
    assert PLAN.done({}) == 0
    assert PLAN.done({ONE: 13, TWO: 5}) == 8
    assert PLAN.done({ONE: 2, TWO: 99}) == 5  # never less than nothing, never more than all


def changed(**fields: Any) -> Plan:
    return replace(PLAN, **fields)


def test_first_run_begins_and_the_next_goes_on() -> None:
    assert next_step(PLAN, None, {}, restart=False) == "begin"
    assert next_step(PLAN, PLAN, {ONE: 13, TWO: 0}, restart=False) == "go_on"
    asked = changed(spans={ONE: Span(0, 0), TWO: Span(0, 0)})  # the ends are the kept plan's
    assert next_step(asked, PLAN, {ONE: 13, TWO: 0}, restart=False) == "go_on"
    assert next_step(PLAN, PLAN, {ONE: 13, TWO: 0}, restart=True) == "begin"
    assert next_step(changed(topic_out="new"), PLAN, {ONE: 13}, restart=True) == "begin"


@pytest.mark.parametrize(
    ("kept", "committed", "message"),
    [
        (None, {ONE: 3}, r"--group g: has offsets, but nothing under --redis-prefix"),
        (PLAN, {ONE: 3}, r"--group g: the brokers have forgotten"),
        (PLAN, {}, r"--group g: the brokers have forgotten"),
        (changed(group="h"), {ONE: 3, TWO: 3}, r"--group g: this replay was begun with h"),
        (changed(topic_out="old"), {ONE: 3, TWO: 3}, r"--topic-out out: .* begun with old"),
        (changed(start="7"), {ONE: 3, TWO: 3}, r"--from earliest: .* begun with 7"),
        (changed(end="2026-01-01T00:00:00.000Z"), {ONE: 3, TWO: 3}, r"--to latest: .* begun with 2026"),
        (changed(spans={Partition("other", 0): Span(0, 1)}), {ONE: 3}, r"WORKER_INPUT_TOPICS reviews: .* other"),
    ],
)
def test_run_that_does_not_fit_says_so_and_how_to_begin_again(
    kept: Plan | None, committed: dict[Partition, int], message: str
) -> None:
    with pytest.raises(SettingsError, match=message + r".*--restart begins again"):
        next_step(PLAN, kept, committed, restart=False)
    assert next_step(PLAN, kept, committed, restart=True) == "begin"


@pytest.mark.parametrize("restart", [False, True])
def test_another_version_needs_a_prefix_of_its_own(restart: bool) -> None:
    with pytest.raises(SettingsError, match="--redis-prefix: holds the ratings of v0"):
        next_step(PLAN, changed(version="v0"), {}, restart=restart)


# flags


def flags(words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_command(parser.add_subparsers())
    return parser.parse_args(words.split())


def test_replay_writes_nothing_live() -> None:
    live = SETTINGS.model_copy(update={"redis_prefix": "live:", "instance_id": "worker-0"})
    derived = command.replay_settings(live, flags(FLAGS))
    assert (derived.group_id, derived.output_topic, derived.redis_prefix) == ("starstream-replay-v1", "out", "new:")
    assert (derived.model_version, derived.instance_id, derived.auto_offset_reset) == ("v1", None, "earliest")
    assert command.replay_settings(live, flags(f"{FLAGS} --group mine")).group_id == "mine"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--topic-out ratings", r"--topic-out ratings: is live \(WORKER_OUTPUT_TOPIC\)"),
        ("--topic-out reviews", r"--topic-out reviews: is live \(WORKER_INPUT_TOPICS\)"),
        ("--topic-out reviews.dlq", r"--topic-out reviews.dlq: is live \(WORKER_DEAD_LETTER_TOPIC\)"),
        ("--topic-out no/slash", r"--topic-out no/slash: not a topic's name"),
        ("--redis-prefix live:", r"--redis-prefix live:: is live \(WORKER_REDIS_PREFIX\)"),
        (f"--redis-prefix {'x' * 65}", r"--redis-prefix: 1 to 64 characters"),
        ("--redis-prefix=", r"--redis-prefix: 1 to 64 characters"),
        ("--group starstream", r"--group starstream: is the workers' own"),
    ],
)
def test_what_is_live_is_refused(more: str, message: str) -> None:
    live = SETTINGS.model_copy(update={"redis_prefix": "live:"})
    with pytest.raises(SettingsError, match=message):
        command.replay_settings(live, flags(f"{FLAGS} {more}"))


@pytest.mark.usefixtures("clean_environment")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (f"{FLAGS} --to never", "--to never: not an ISO 8601 time"),
        (f"{FLAGS} --to earliest", "--to earliest: that leaves nothing"),
        (f"{FLAGS} --json no/such/folder.json", "--json no/such/folder.json: no such folder"),
        (f"{FLAGS} --topic-out ratings", "--topic-out ratings: is live"),
        (f"{FLAGS} --group-id a --group a", "--group a: is the workers' own"),
    ],
)
def test_wrong_flag_ends_the_command(capsys: pytest.CaptureFixture[str], words: str, message: str) -> None:
    assert main(words.split()) == ExitCode.USAGE
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("clean_environment")
def test_missing_bundle_has_its_own_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(FLAGS.split()) == ExitCode.MODEL
    assert "v1" in capsys.readouterr().err


# loop


def ended(world: World) -> bool:
    return world.source.positions == {each: world.cluster.end(each) for each in world.cluster.partitions(["reviews"])}


@pytest.mark.parametrize("fails", [0, 1, 3])
def test_run_ends_when_all_is_settled_and_not_before(fails: int) -> None:
    world = World(batch=4)
    world.produce(*["good app"] * 10)
    world.produce(*["bad app"] * 3, partition=1)
    world.delivery.faults.then(*[None] * 3, *[KAFKA_GONE] * fails)  # the last batch
    steps = Counter[str]()
    assert run_to_end(world.pipeline, lambda: ended(world), lambda: steps.update(["step"]))
    assert world.lag == 0
    world.assert_settled_once()
    assert steps["step"] >= 4


def test_run_that_is_stopped_settles_what_it_gathered_and_is_not_done() -> None:
    world = World(batch=4)
    world.produce(*["good app"] * 10)

    def stop_after_two_batches() -> None:
        if len(world.settled) >= 8:
            world.pipeline.stop()

    assert not run_to_end(world.pipeline, lambda: ended(world), stop_after_two_batches)
    assert (len(world.settled), world.lag) == (8, 2)


def test_run_stopped_at_its_very_end_is_done_only_if_the_drain_held() -> None:
    for fault in (None, KAFKA_GONE):
        world = World(batch=100)
        world.produce(*["good app"] * 10)
        world.delivery.faults.then(fault)
        assert run_to_end(world.pipeline, lambda w=world: ended(w), world.pipeline.stop) is (fault is None)  # type: ignore[misc]
        assert world.lag == (0 if fault is None else 10)


def test_dead_letters_are_counted_and_not_sent_again(clock: ManualClock) -> None:
    cluster = MemoryCluster(clock)
    for topic in ("reviews", SETTINGS.output_topic, SETTINGS.dead_letter_topic):
        cluster.create(topic)
    source = MemorySource(cluster)
    source.poll(1, 0)
    inner = MemoryDelivery(cluster, SETTINGS, source)
    delivery = ReplayDelivery(inner, {ONE: 0})
    record = make_record()
    batch: list[Outcome] = [make_rated(), Deleted(record, "r2"), rejected(record, "unratable", "", model_version="v1")]
    inner.faults.then(KAFKA_GONE)
    with pytest.raises(TransientError):
        delivery.commit(batch, {ONE: 3})
    assert (delivery.committed, delivery.outcomes.total()) == ({ONE: 0}, 0)
    delivery.commit(batch, {ONE: 3})
    assert delivery.committed == {ONE: 3} == inner.commits[0]
    assert delivery.outcomes == {"rated": 1, "deleted": 1, "rejected": 1}
    assert delivery.reasons == {"unratable": 1}
    assert len(cluster.all_records(SETTINGS.output_topic)) == 2
    assert cluster.all_records(SETTINGS.dead_letter_topic) == []


# diff


def side(rating: int, expected: float, *, version: str = "old", offset: str = "1") -> Side:
    return Side(version, rating, expected, ("reviews", "id", "0", offset))


def test_diff_counts_agreement_confusion_and_distance_by_live_model() -> None:
    diff = Diff()
    for old, new in (
        (side(5, 4.5), side(5, 4.0)),
        (side(5, 4.5), side(3, 3.0)),
        (side(1, 1.5), side(3, 3.0)),
        (side(1, 1.0, version="older"), side(1, 1.25)),
    ):
        diff.add(new, old)
    diff.add(side(5, 4.0), None)
    diff.add(side(5, 4.0, offset="1"), side(5, 4.0, offset="2"))
    assert (diff.not_live, diff.moved_on) == (1, 1)
    found = diff.by_version["old"]
    assert found.compared == 3
    assert found.agreement == pytest.approx(1 / 3)
    assert found.confusion == {(5, 5): 1, (5, 3): 1, (1, 3): 1}
    assert found.mean_difference == pytest.approx((-0.5 - 1.5 + 1.5) / 3)
    assert found.mean_distance == pytest.approx(3.5 / 3)
    assert diff.by_version["older"].agreement == 1.0
    assert diff.total.compared == 4
    assert diff.total.agreement == pytest.approx(0.5)
    assert diff.total.mean_difference == pytest.approx((-0.5 + 0.25) / 4)
    assert diff.total.mean_distance == pytest.approx(3.75 / 4)
    assert diff.total.to_fields()["confusion"] == {"1": {"1": 1, "3": 1}, "5": {"3": 1, "5": 1}}


def test_nothing_compared_has_no_shares() -> None:
    fields = Diff().total.to_fields()
    assert (fields["compared"], fields["agreement"], fields["mean_expected_difference"]) == (0, None, None)


PAIRS = st.lists(
    st.tuples(st.integers(1, 5), st.integers(1, 5), st.floats(1, 5), st.floats(1, 5), st.sampled_from("ab")),
    min_size=1,
)


@given(PAIRS)
def test_every_pair_is_in_the_confusion_once(pairs: list[tuple[int, int, float, float, str]]) -> None:
    diff = Diff()
    for old, new, old_expected, new_expected, version in pairs:
        diff.add(side(new, new_expected), side(old, old_expected, version=version))
    total = diff.total
    assert total.compared == len(pairs) == total.confusion.total()
    assert total.agreed == sum(total.confusion[label, label] for label in total.labels)
    assert total.mean_difference == pytest.approx(sum(pair[3] - pair[2] for pair in pairs) / len(pairs))
    assert abs(total.mean_difference or 0) <= (total.mean_distance or 0) + 1e-9


def test_rating_that_is_not_whole_is_none() -> None:
    whole: list[bytes | None] = [b"v1", b"5", b"4.5", b"reviews", b"id", b"0", b"17"]
    assert len(whole) == len(FIELDS)
    assert side_of(whole) == Side("v1", 5, 4.5, ("reviews", "id", "0", "17"))
    assert side_of([None] * len(FIELDS)) is None
    assert side_of([*whole[:-1], None]) is None
    assert side_of([b"v1", b"five", *whole[2:]]) is None


def test_report_holds_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    diff = Diff()
    diff.add(side(5, 4.0, version="new"), side(4, 3.5))
    outcomes = Counter(rated=1, rejected=2)
    report = Report(PLAN, "new:", "", outcomes, Counter(no_text=2), 0.5, diff)  # type: ignore[arg-type]
    write_report(report, "-")
    fields = json.loads(capsys.readouterr().out)
    assert fields["this_run"] == {
        "rated": 1, "rejected": 2, "deleted": 0, "seconds": 0.5, "rejected_by_reason": {"no_text": 2},
    }  # fmt: skip
    assert (fields["offsets"], fields["diff"]["compared"], fields["diff"]["agreement"]) == (15, 1, 0.0)
    write_report(report, None)
    shown = capsys.readouterr().out
    assert "1 reviews rated by v1" in shown
    assert "2 could not be rated (no_text 2)" in shown
    assert "live model old: 1, agreement 0.0%, mean expected stars +0.500" in shown


def test_report_that_can_not_be_written_names_the_flag() -> None:
    report = Report(PLAN, "new:", "", Counter(), Counter(), 0.0, Diff())
    with pytest.raises(SettingsError, match="--json /proc/no/such: "):
        write_report(report, "/proc/no/such")


# progress


def test_progress_elsewhere_is_a_line_every_five_seconds(clock: ManualClock) -> None:
    log = io.StringIO()
    with LongRun(Console(file=log), clock, "rating", 200, done=100) as progress:
        for done in range(110, 210, 10):
            clock.advance(1.0)
            progress.update(done, f"{progress.rate(done - 100):.0f}/s")
    assert log.getvalue().splitlines() == [
        "rating: 150/200 offsets (75%), 10/s",
        "rating: 200/200 offsets (100%), 10/s",
    ]


def test_progress_on_a_terminal_is_a_bar(clock: ManualClock) -> None:
    log = io.StringIO()
    with LongRun(Console(file=log, force_terminal=True), clock, "rating", 10) as progress:
        clock.advance(60.0)
        progress.update(5, "a note")
    assert "50%" in log.getvalue()
    assert "offsets" not in log.getvalue()
