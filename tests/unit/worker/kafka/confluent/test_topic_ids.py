"""Whether an input topic is still the one it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from worker.errors import TransientError
from worker.kafka.confluent.topic_ids import NO_ID, TopicIds
from worker.settings import WorkerSettings


class Ids(TopicIds):
    """Returns canned answers in place of the brokers'."""

    def __init__(self) -> None:
        self.now = {"reviews": "one"}
        self.asked = 0
        self.away = False
        self.recreated: list[str] = []
        super().__init__(WorkerSettings(_env_file=None), self.recreated.append)

    def _ask(self, topics: Sequence[str]) -> dict[str, str]:
        self.asked += 1
        if self.away:
            raise TransientError("kafka", "no answer")
        return {topic: self.now.get(topic, "") for topic in topics}

    def _answers(self, asked: Mapping[str, str]) -> dict[str, str]:
        return {**asked}


def test_topic_ids_are_asked_for_once_a_batch() -> None:
    ids = Ids()
    for _ in range(3):
        ids.ask()
        assert [ids.id_of("reviews") for _ in range(100)] == ["one"] * 100
        ids.verify()
    assert ids.asked == 3


def test_the_brokers_are_asked_when_records_were_read_and_the_last_answer_counts() -> None:
    ids = Ids()
    ids.ask()
    ids.now = {"reviews": "two"}
    ids.ask()
    assert ids.asked == 2
    ids.now = {}
    assert ids.id_of("reviews") == "two"
    assert ids.asked == 2, "the answer was under way"


def test_an_answer_from_before_the_last_read_does_not_count() -> None:
    ids = Ids()
    ids.ask()
    ids.now = {"reviews": "two"}
    ids.mark_unverified()
    assert ids.asked == 1
    assert ids.id_of("reviews") == "two"


def test_brokers_that_cannot_be_asked_are_asked_again_before_a_batch_is_written() -> None:
    ids = Ids()
    ids.away = True
    ids.ask()
    with pytest.raises(TransientError, match="no answer"):
        ids.verify()
    ids.away = False
    ids.verify()
    assert ids.id_of("reviews") == "one"


def test_a_deleted_topic_fails_batches_until_it_exists_again() -> None:
    ids = Ids()
    ids.verify()
    ids.now = {}
    ids.ask()
    for _ in range(2):
        with pytest.raises(TransientError, match="WORKER_INPUT_TOPICS: reviews: the topic was deleted"):
            ids.verify()
    ids.now = {"reviews": "two"}
    with pytest.raises(TransientError, match="reviews: deleted and created again"):
        ids.verify()
    assert ids.id_of("reviews") == "two", "it fails one batch"
    assert ids.recreated == ["reviews"]


@pytest.mark.parametrize(("before", "then"), [("one", NO_ID), (NO_ID, "one")])
def test_a_broker_that_has_no_ids_yet_says_nothing_of_a_topic(before: str, then: str) -> None:
    """Else a topic would be read from its beginning while the brokers are upgraded."""
    ids = Ids()
    ids.now = {"reviews": before}
    ids.verify()
    ids.now = {"reviews": then}
    ids.ask()
    assert ids.id_of("reviews") == "one"
    assert ids.recreated == []
    ids.now = {"reviews": "two"}
    ids.ask()
    with pytest.raises(TransientError, match="reviews: deleted and created again"):
        ids.verify()
