"""Cases on brokers of their own: a replicated cluster of three, and a broker with an authorizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from tests.chaos.audit import Verdict
from tests.chaos.cases.play import Case
from tests.chaos.cluster import LocalCluster
from tests.chaos.reviews import mixed
from tests.chaos.scene import Scene
from tests.chaos.workers import Worker
from tests.fixtures.guarded import SEE, WRITE, Guarded
from tests.fixtures.running import Brokers


def _on(brokers: Brokers, scene: Scene, act: Callable[[Scene], Verdict]) -> Verdict:
    """Act on a scene with these brokers, and report as if it were the case's own."""
    moved = Scene(replace(scene.stage, folder=scene.folder), "elsewhere", brokers=brokers)
    try:
        verdict = act(moved)
    finally:
        wrong = moved.close()
    scene.kills, scene.recovery_s = moved.kills, moved.recovery_s
    verdict.wrong += wrong
    return verdict


def coordinator_moves(scene: Scene) -> Verdict:
    """In a cluster of three, kill -9 the broker that coordinates the group under load and restart it, then each of the
    others. The leaders and the coordinators of the group and of transactions move; the workers keep running.
    """
    with LocalCluster(scene.folder / "kafka") as cluster:

        def act(moved: Scene) -> Verdict:
            workers = [moved.start(name) for name in ("one", "two")]
            moved.send(mixed(moved.sent, 500, moved.random))
            moved.settle()
            first = cluster.coordinator(moved.group)
            for number in sorted(cluster.members, key=lambda broker: broker != first):
                before = moved.published()
                moved.send(mixed(moved.sent, 1_500, moved.random), wait=False)
                moved.wait_output(before + 1)
                cluster.members[number].kill()
                moved.count_fault()
                moved.settle()
                assert number != first or cluster.coordinator(moved.group) != first, "the coordinator did not move"
                cluster.members[number].start()
                cluster.wait_in_sync()
            assert all(worker in moved.alive for worker in workers), "a worker ended"
            return moved.finish()

        return _on(cluster, scene, act)


def three_brokers(scene: Scene) -> Verdict:
    """In a cluster of three, restart each broker in turn as an upgrade does (SIGTERM, start, wait until it is in sync)
    under steady load; the workers keep running.
    """
    with LocalCluster(scene.folder / "kafka") as cluster:

        def act(moved: Scene) -> Verdict:
            workers = [moved.start(name) for name in ("one", "two")]
            for member in cluster.members.values():
                moved.send(mixed(moved.sent, 1_000, moved.random), wait=False)
                member.stop()
                moved.count_fault()
                moved.send(mixed(moved.sent, 1_000, moved.random), wait=False)
                member.start()
                cluster.wait_in_sync()
            moved.settle()
            assert all(worker in moved.alive for worker in workers), "a worker ended"
            return moved.finish()

        return _on(cluster, scene, act)


def _named(worker: Worker, topic: str) -> bool:
    return topic in str(worker.reasons)


def acl_lost_and_returned(scene: Scene) -> Verdict:
    """An operator takes the right to write the ratings away under load and gives it back; then the same with the dead
    letters. The worker stays up, names the topic on /readyz, and goes on.
    """
    guarded = Guarded(scene.folder / "kafka", **{"group.min.session.timeout.ms": "1000"})
    with guarded.broker:

        def act(moved: Scene) -> Verdict:
            for topic in (moved.output, moved.dead):
                guarded.allow(topic, SEE, WRITE)
            worker = moved.start("one", **guarded.login)
            for topic in (moved.output, moved.dead):
                before = moved.published()
                moved.send(mixed(moved.sent, 2_000, moved.random), wait=False)
                moved.wait_output(before + 1)
                guarded.allow(topic, SEE)
                moved.count_fault()
                moved.send(mixed(moved.sent, 2_000, moved.random))
                worker.until(partial(_named, worker, topic), "the topic is named")
                guarded.allow(topic, SEE, WRITE)
                moved.restored()
                moved.settle()
            return moved.finish()

        return _on(guarded.broker, scene, act)


BROKERS: Final = (
    Case(coordinator_moves, nightly=True),
    Case(three_brokers, nightly=True),
    Case(acl_lost_and_returned, nightly=True),
)
