"""Whether an input topic is still the one it was."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from worker.errors import TransientError
from worker.kafka.confluent.topic_ids import NO_ID, TopicIds
from worker.settings import WorkerSettings


class Ids(TopicIds):
    """Returns canned answers in place of the brokers'."""

    def __init__(self) -> None:
        self.now = {"reviews": "one"}
        self.fetches = 0
        self.recreated: list[str] = []
        super().__init__(WorkerSettings(_env_file=None), self.recreated.append)

    def _fetch(self, topics: Sequence[str]) -> dict[str, str]:
        self.fetches += 1
        return {topic: self.now.get(topic, "") for topic in topics}


def test_topic_ids_are_fetched_once_per_batch() -> None:
    ids = Ids()
    for _ in range(3):
        ids.mark_unverified()
        assert [ids.id_of("reviews") for _ in range(100)] == ["one"] * 100
        ids.verify()
    assert ids.fetches == 3


def test_a_deleted_topic_fails_batches_until_it_exists_again() -> None:
    ids = Ids()
    ids.verify()
    ids.now = {}
    ids.mark_unverified()
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
    ids.mark_unverified()
    assert ids.id_of("reviews") == "one"
    assert ids.recreated == []
    ids.now = {"reviews": "two"}
    ids.mark_unverified()
    with pytest.raises(TransientError, match="reviews: deleted and created again"):
        ids.verify()
