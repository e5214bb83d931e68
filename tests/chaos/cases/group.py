"""Cases that move partitions and topics: zombies, workers that come and go, transactions on the input, a new topic."""

from __future__ import annotations

from typing import Final

from confluent_kafka import Producer

from tests.chaos.audit import Verdict
from tests.chaos.cases.play import Case
from tests.chaos.reviews import mixed, review
from tests.chaos.scene import Scene, client

_ZOMBIES: Final = ("noted", "stored", "before_end")


def zombie(scene: Scene) -> Verdict:
    """SIGSTOP three workers past their session, each at another point of its second batch (before Redis, behind it,
    at the end of the transaction). A fourth takes over and rates newer versions of the same reviews; then the three
    wake, learn that they are out, and go on with what they held.
    """
    asleep = [
        scene.worker(f"zombie-{point}", f"--fail={point}:stop:2", ready=False, batch_reviews=100) for point in _ZOMBIES
    ]
    for each in asleep:
        each.wait_ready()
    scene.wait(
        "two partitions each", lambda: all(each.metric("starstream_partitions_assigned") == 2 for each in asleep)
    )
    scene.produce(review(number) for number in range(3_000))
    for each in asleep:
        each.wait_stopped()
        scene.hurt()
    scene.worker("heir", ready=False)
    scene.produce(review(number, version=2) for number in range(3_000))
    scene.settle()
    for each in asleep:
        each.resume()
    scene.healed()
    for each in asleep:
        each.wait_ready()
    scene.produce(review(number) for number in range(3_000, 4_000))
    return scene.finish()


def join_leave(scene: Scene) -> Verdict:
    """Three workers under steady load; every two seconds or so the oldest leaves (SIGTERM, every third time kill -9)
    and a new one joins.
    """
    for number in range(3):
        scene.worker("member", ready=number == 2)
    for turn in range(scene.stage.scaled(6, 30)):
        scene.produce(mixed(scene.sent, 700, scene.random))
        oldest = scene.alive[0]
        before = scene.published()
        oldest.wait_ready()
        scene.wait_output(before + 1, 60)
        if turn % 3 == 2:
            scene.kill(oldest)
        else:
            oldest.stop()
            scene.hurt()
        scene.worker("member", ready=False)
    return scene.finish()


def input_transactions(scene: Scene) -> Verdict:
    """The producer writes its reviews in transactions and aborts every other one, the last included, so that each
    partition ends in a marker; one worker is killed meanwhile. Aborted reviews are never rated, and lag reads 0.
    """
    first = scene.worker("first", instance_id="first")
    producer = Producer({**client(scene.brokers.bootstrap), "transactional.id": scene.group})
    producer.init_transactions(30)
    for turn in range(8):
        producer.begin_transaction()
        for each in (review(number) for number in range(turn * 300, turn * 300 + 300)):
            producer.produce(scene.topic, each.value, each.key, headers=list(each.headers))
        producer.flush(30)  # so that what is aborted lies in the topic
        if turn % 2:
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
        if turn == 4:
            scene.kill(first)
            first = scene.worker("first", instance_id="first")
    return scene.finish()


def topic_recreated(scene: Scene) -> Verdict:
    """The input topic is deleted and created again under a running worker, with fewer, then with more records than
    before: offsets start again, the same reviews come in new versions, and those win.
    """
    scene.worker("one")
    scene.produce(review(number) for number in range(2_000))
    for version, count in ((2, 500), (3, 3_000)):
        scene.settle()
        scene.ledger.read(scene.stage.kafka.bootstrap, scene.topic)
        scene.delete_topic(scene.topic)
        scene.create_topics(scene.topic)
        scene.hurt()
        scene.produce(review(number, version=version) for number in range(count))
    return scene.finish()


GROUP: Final = (Case(zombie), Case(join_leave), Case(input_transactions), Case(topic_recreated))
