"""Cases that move partitions and topics: zombies, joins and leaves, transactions on the input, a recreated topic."""

from __future__ import annotations

from typing import Final

from confluent_kafka import Producer

from tests.chaos.audit import Verdict
from tests.chaos.cases.play import Case
from tests.chaos.reviews import mixed, review
from tests.chaos.scene import Scene
from tests.fixtures.records import client, send

_ZOMBIES: Final = ("noted", "stored", "before_end")


def zombie(scene: Scene) -> Verdict:
    """SIGSTOP three workers past their session time-out, each at another point of its second batch (before Redis, after
    it, at the end of the transaction). A fourth takes over and rates newer versions of the same reviews. Then the three
    are continued, learn that they were evicted, and continue with the batches they held.
    """
    zombies = [
        scene.start(f"zombie-{point}", f"--fail={point}:stop:2", ready=False, batch_reviews=100) for point in _ZOMBIES
    ]
    for worker in zombies:
        worker.ready()
    scene.wait(
        "two partitions each", lambda: all(worker.total("starstream_partitions_assigned") == 2 for worker in zombies)
    )
    scene.send(review(number) for number in range(3_000))
    for worker in zombies:
        worker.wait_stopped()
        scene.count_fault()
    scene.start("successor", ready=False)
    scene.send(review(number, version=2) for number in range(3_000))
    scene.settle()
    for worker in zombies:
        worker.child.resume()
    scene.restored()
    for worker in zombies:
        worker.ready()
    scene.send(review(number) for number in range(3_000, 4_000))
    return scene.finish()


def join_leave(scene: Scene) -> Verdict:
    """Three workers under steady load; about every two seconds the oldest leaves (SIGTERM, every third time kill -9)
    and a new one joins.
    """
    for number in range(3):
        scene.start("member", ready=number == 2)
    for turn in range(scene.stage.scaled(6, 30)):
        scene.send(mixed(scene.sent, 700, scene.random))
        oldest = scene.alive[0]
        before = scene.published()
        oldest.ready()
        scene.wait_output(before + 1, 60)
        if turn % 3 == 2:
            scene.kill(oldest)
        else:
            oldest.drain()
            scene.count_fault()
        scene.start("member", ready=False)
    return scene.finish()


def input_transactions(scene: Scene) -> Verdict:
    """The producer writes reviews in transactions and aborts every other one, the last included, so that each partition
    ends with a marker; a worker is killed meanwhile. Aborted reviews are never rated, and the lag becomes 0.
    """
    first = scene.start("first", instance_id="first")
    producer = Producer({**client(scene.kafka.bootstrap), "transactional.id": scene.group})
    producer.init_transactions(30)
    for turn in range(8):
        producer.begin_transaction()
        for number in range(turn * 300, turn * 300 + 300):
            send(producer, scene.input, review(number))
        producer.flush(30)  # so that aborted records are in the topic
        if turn % 2:
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
        if turn == 4:
            scene.kill(first)
            first = scene.start("first", instance_id="first")
    return scene.finish()


def topic_recreated(scene: Scene) -> Verdict:
    """The input topic is deleted and created again under a running worker, with fewer, then with more records than
    before. Offsets start at 0 again; the new versions of the same reviews must win.
    """
    scene.start("one")
    scene.send(review(number) for number in range(2_000))
    for version, count in ((2, 500), (3, 3_000)):
        scene.settle()
        scene.ledger.read(scene.stage.kafka.bootstrap, scene.input)
        scene.delete_topic(scene.input)
        scene.create_topic(scene.input)
        scene.count_fault()
        scene.send(review(number, version=version) for number in range(count))
    return scene.finish()


def partitions_added(scene: Scene) -> Verdict:
    """The input topic grows from six to twelve partitions, then to thirteen, under load and with a producer that uses
    them at once; a worker is killed in between. Records in a partition that no worker knows yet are not skipped.
    """
    first = scene.start("first")
    scene.start("second")
    for partitions in (12, 13):
        scene.send((review(number) for number in range(scene.sent, scene.sent + 2_000)), wait=False)
        scene.add_partitions(partitions)
        scene.count_fault()
        scene.send(review(number) for number in range(scene.sent, scene.sent + 2_000))
        if partitions == 12:
            scene.kill(first)
            scene.start("third")
    scene.settle()
    assert sum(worker.total("starstream_partitions_assigned") for worker in scene.alive) == 13
    return scene.finish()


GROUP: Final = (
    Case(zombie),
    Case(join_leave, nightly=True),
    Case(input_transactions),
    Case(topic_recreated),
    Case(partitions_added),
)
