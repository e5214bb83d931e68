"""Cases that move partitions and topics: zombies, joins and leaves, transactions on the input, a recreated topic."""

from __future__ import annotations

from typing import Final

from confluent_kafka import Producer

from tests.chaos.audit import Verdict
from tests.chaos.cases.play import Case
from tests.chaos.reviews import mixed, review
from tests.chaos.scene import Scene
from tests.chaos.workers import Worker
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


def kip_848(scene: Scene) -> Verdict:
    """Three workers whose partitions the brokers assign (WORKER_KAFKA_GROUP_PROTOCOL=consumer; always confluent-kafka),
    one a static member, under steady load. In turn: one more joins and dies inside a transaction (kill -9); one more is
    suspended at the end of one, past the brokers' session (SIGSTOP); the oldest is killed and replaced; the oldest
    leaves (SIGTERM) and is replaced. Partitions are added. At the end the suspended ones are continued.
    """
    scene.settings |= {"kafka_client": "confluent", "kafka_group_protocol": "consumer", "batch_reviews": 100}
    del scene.settings["session_timeout_s"]  # the brokers' holds: 6 s here
    members = [scene.start("static", instance_id="static"), scene.start("member"), scene.start("member")]
    suspended = []
    for turn in range(scene.stage.scaled(2, 10)):
        dying = _joined(scene, "dying", "--fail=after_send:die:2")
        _load(scene)
        dying.wait_dead(-9)
        suspended.append(_joined(scene, "zombie", "--fail=before_end:stop:2"))
        _load(scene)
        suspended[-1].wait_stopped()
        for end in (scene.kill, Worker.drain):
            scene.count_fault()
            _load(scene)
            oldest = members.pop(0)
            end(oldest.ready())
            static = {"instance_id": "static"} if oldest.name.startswith("static") else {}
            members.append(scene.start("static" if static else "member", ready=False, **static))
        if turn == 0:
            scene.settle()  # versions of a review in two partitions have no order
            scene.add_partitions(scene.topics[scene.input] + 1)
    scene.settle()
    for zombie_ in suspended:
        zombie_.child.resume()
    scene.restored()
    for worker in scene.alive:
        worker.ready()
    _load(scene)
    return scene.finish()


def _joined(scene: Scene, name: str, fault: str) -> Worker:
    """Start a worker with a fault, and wait until it has partitions, so that it gets the next reviews."""
    worker = scene.start(name, fault)
    worker.until(lambda: worker.total("starstream_partitions_assigned") > 0, "it has partitions")
    return worker


def _load(scene: Scene) -> None:
    before = scene.published()
    scene.send(mixed(scene.sent, 1_500, scene.random))
    scene.wait_output(before + 1)


GROUP: Final = (
    Case(zombie),
    Case(join_leave, nightly=True),
    Case(kip_848, nightly=True),
    Case(input_transactions),
    Case(topic_recreated),
    Case(partitions_added),
)
