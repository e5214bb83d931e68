"""The loop on records that cannot be rated: single ones, many, and one that kills the process."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import pytest

from schemas.dead_letter import OWN
from tests.doubles import REFUSED, TOPIC, StubClassifier
from tests.fixtures.world import GONE, KAFKA_GONE, SETTINGS, World
from worker.errors import FencedError, PermanentError, ServiceError, StreamRejectedError
from worker.records import Partition, Pending, Rated, Rejected
from worker.stream.breaker import Breaker
from worker.stream.ports import Attempt

NO_RIGHTS = PermanentError("redis", "NOPERM No permissions to access a key")


def test_unratable_records_do_not_affect_the_records_between_them() -> None:
    world = World()
    poison = {b"\xff": "not_utf8", b"{broken": "not_json", REFUSED.encode(): "unratable", b"a\0b": "null_byte"}
    for value in poison:
        world.produce("love it", value)
    world.steps()
    assert [type(outcome) for outcome in world.outcomes] == [Rated, Rejected] * len(poison)
    dead = world.cluster.all_records(SETTINGS.dead_letter_topic)
    assert [(record.value, (dict(record.headers)[f"{OWN}reason"] or b"").decode()) for record in dead] == list(
        poison.items()
    )
    world.assert_settled_once()


def test_ratings_that_the_brokers_refuse_become_dead_letters_and_all_others_go_through() -> None:
    world = World()
    world.produce("love", "bad", None, "love")
    world.delivery.refuses = list(world.cluster.records(Partition(TOPIC, 0)))[1:3]
    world.steps()
    outcomes = [type(outcome) for outcome in world.delivery.outcomes]
    assert outcomes == [Rated, Rejected, Rejected, Rated]
    assert world.sample("starstream_reviews_rejected_total", reason="refused") == 2
    assert "outage" not in world.log.names


def test_refused_ratings_that_take_too_long_to_find_are_found_in_smaller_batches() -> None:
    world = World(batch=200)
    world.produce(*["love"] * 200)
    world.delivery.refuses = list(world.cluster.records(Partition(TOPIC, 0)))
    world.delivery.refuses_one_by_one = True
    world.steps()
    assert world.sample("starstream_reviews_rejected_total", reason="refused") == 200
    assert sorted(outcome.record.offset for outcome in world.outcomes) == list(range(200))


def test_ratings_that_are_all_refused_open_the_breaker() -> None:
    world = World(batch=100)
    world.pipeline.breaker = Breaker(share=0.5, window_records=100, consecutive=0)
    world.produce(*["love"] * 200)
    world.delivery.refuses = list(world.cluster.records(Partition(TOPIC, 0)))
    world.pipeline.stopping = True
    world.pipeline.batcher.add(world.source.poll(200, 0.0), 0.0)
    with pytest.raises(StreamRejectedError):
        world.pipeline.run()
    assert world.cluster.committed == {}


class Died(BaseException):
    """Stands for a segmentation fault: nothing after it runs."""


class Deadly(StubClassifier):
    """Kills the process when a review has the word "deadly"."""

    def rate(self, pending: Sequence[Pending], rated_at: str) -> list[Rated | Rejected]:
        if any("deadly" in review.review.text for review in pending):
            raise Died
        return super().rate(pending, rated_at)


def test_a_record_that_kills_the_process_is_rejected_and_the_others_are_rated() -> None:
    world = World(batch=16)
    world.produce("love", "bad", "deadly", "love", "bad", partition=0)
    world.produce("love", "bad", partition=1)
    runs = 1
    while world.lag:
        assert runs < 12, "found within a few process runs"
        try:
            world.pipeline.classifier = Deadly()
            world.steps()
        except Died:
            runs += 1
            world.restart()
    assert runs == 7  # three crashes in a batch, three alone, and the run that rejects it
    letters = [outcome.letter for outcome in world.outcomes if isinstance(outcome, Rejected)]
    assert [(letter.partition, letter.offset, letter.reason) for letter in letters] == [(0, 2, "unratable")]
    assert len(world.store.ratings) == 6
    assert "poison_record_rejected" in world.log.names


def test_outages_do_not_count_as_crashes_of_a_record() -> None:
    world = World(batch=4)
    world.produce(*["love"] * 4)
    for _ in range(10):
        world.store.faults.then(GONE)
        while "recovered" not in world.log.names or world.log.names[-1] != "recovered":
            world.pipeline.step()
        world.log.events.clear()
        world.restart()
    world.steps()
    assert len(world.store.ratings) == 4
    assert "poison_record_rejected" not in world.log.names


@pytest.mark.parametrize("error", [NO_RIGHTS, FencedError("kafka", "fenced")])
@pytest.mark.parametrize("part", ["store", "commit"])
def test_an_exit_with_a_named_cause_is_no_attempt_at_a_record(error: ServiceError, part: str) -> None:
    world = World()
    world.produce("love", "bad")
    for _ in range(12):
        faults = world.store.faults if part == "store" else world.delivery.commit_faults
        faults.then(error)
        with pytest.raises(type(error)):
            world.steps()
        world.restart()
    world.steps()
    assert world.source.positions[Partition(TOPIC, 0)] == 2
    assert "poison_record_rejected" not in world.log.names
    assert not world.cluster.all_records(SETTINGS.dead_letter_topic)


def test_what_the_ledger_cannot_take_back_during_an_outage_it_takes_back_after(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.produce("love")
    save, away = world.ledger.save_attempts, iter([False, True])

    def sometimes(attempts: Mapping[Partition, Attempt]) -> None:
        if next(away, False):
            raise GONE
        save(attempts)

    monkeypatch.setattr(world.ledger, "save_attempts", sometimes)
    world.store.faults.then(GONE)
    while "recovered" not in world.log.names:
        world.pipeline.step()
    assert world.ledger.load_attempts([Partition(TOPIC, 0)])[Partition(TOPIC, 0)].runs == 0


@pytest.mark.parametrize("where", ["classifier", "delivery"])
def test_a_process_that_is_ended_on_purpose_suspects_its_records_only_while_the_model_has_them(where: str) -> None:
    world = World()
    world.produce("love")
    port, name = (world.pipeline.classifier, "rate") if where == "classifier" else (world.delivery, "commit")

    def ended(*_: object) -> None:
        world.pipeline.undo_attempts()  # as at the drain deadline, from another thread
        raise Died

    setattr(port, name, ended)
    with pytest.raises(Died):
        world.steps()
    assert world.ledger.load_attempts([Partition(TOPIC, 0)])[Partition(TOPIC, 0)].runs == (where == "classifier")


def test_too_many_dead_letters_halt_the_stream_until_it_is_stopped() -> None:
    world = World(batch=50)
    world.pipeline.breaker = Breaker(share=0.5, window_records=100, consecutive=0)
    world.produce(*["love", "{"] * 50)
    world.steps()
    world.produce(*["{"] * 500)

    def stop_after_a_minute() -> None:
        assert world.sample("starstream_breaker_open") == 1
        assert world.health.reasons["breaker"].startswith("dead-letter breaker: ")
        if world.source.held_s > 60:
            world.pipeline.stop()

    world.source.on_hold = stop_after_a_minute
    with pytest.raises(StreamRejectedError, match="WORKER_BREAKER_SHARE"):
        world.pipeline.run()
    assert world.ledger.load_attempts([Partition(TOPIC, 0)])[Partition(TOPIC, 0)].runs == 0, "no attempt at a record"
    assert len(world.cluster.all_records(SETTINGS.dead_letter_topic)) == 50, "the rest is still in the input topic"
    assert world.source.held_s > 60


def test_a_restart_at_what_opened_the_breaker_says_so_and_sends_no_record_to_the_dead_letters() -> None:
    world = World(batch=50)
    world.produce(*["{"] * 150)
    for again in (False, True, True):
        world.pipeline.breaker = Breaker(share=0.5, window_records=100, consecutive=0)
        world.source.on_hold = world.pipeline.stop
        with pytest.raises(StreamRejectedError) as stopped:
            world.pipeline.run()
        assert ("a restart alone does not help" in str(stopped.value)) == again
        assert "not_json (value: Invalid JSON" in str(stopped.value)
        assert "reviews-0@50" in str(stopped.value)
        world.restart()
    assert len(world.cluster.all_records(SETTINGS.dead_letter_topic)) == 50
    world.steps()  # with a breaker that is off
    assert len(world.cluster.all_records(SETTINGS.dead_letter_topic)) == 150


def test_the_log_never_contains_review_text() -> None:
    world = World()
    secret = "unspeakable"
    world.produce(f"love {secret}", f'{{"text": 5, "content": "{secret}"}}', f"{{{secret}", f"{secret} {REFUSED}")
    world.store.faults.then(GONE)
    world.delivery.faults.then(None, KAFKA_GONE)
    world.steps()
    assert world.log.events
    assert all(event.level >= logging.INFO for event in world.log.events)
    assert secret not in repr(world.log.events)
