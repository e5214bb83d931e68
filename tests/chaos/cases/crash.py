"""Cases that kill worker processes: at random, and at each point between two polls."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from tests import PATIENCE_S
from tests.chaos.audit import Verdict
from tests.chaos.cases.play import Case
from tests.chaos.reviews import mixed, review, tombstone
from tests.chaos.scene import Scene
from tests.chaos.workers import Worker
from tests.conftest import TOY_VERSION
from tests.fixtures.bundles import SECOND, Change
from tests.fixtures.running import environment

_SMALL_BATCHES: Final = {
    "batch-bytes": 8_000
}  # a poll returns several batches, so some are queued while one is committed


def kill_random(scene: Scene) -> Verdict:
    """kill -9 one of two workers at random moments while reviews are produced; one is a static member of the group, one
    is not. (20 kills in 20,000 reviews; --full: 50 in 50,000.)
    """
    return _killed_at_random(scene, scene.stage.scaled(20, 50), scene.stage.scaled(20_000, 50_000))


def kill_at_least_once(scene: Scene) -> Verdict:
    """As kill_random, with WORKER_DELIVERY=at_least_once and kills between publishing and committing: nothing is lost;
    duplicates are counted and allowed.
    """
    for _ in range(2):
        dying = scene.start("dying", "--fail=before_offsets:die:2", instance_id="dying", ready=False)
        scene.send(mixed(scene.sent, 1_000, scene.random))
        dying.wait_dead(-9)
        scene.count_fault()
    return _killed_at_random(scene, 4, 6_000)


def _killed_at_random(scene: Scene, kills: int, reviews: int) -> Verdict:
    workers = [_start(scene, 0), _start(scene, 1)]
    for _ in range(kills):
        before = scene.published()
        scene.send(mixed(scene.sent, reviews // kills, scene.random))
        goal = before + scene.random.randrange(reviews // kills)
        _wait_for_output(scene, goal, scene.random.uniform(0.5, 4.0))
        victim = scene.random.randrange(2)
        scene.kill(workers[victim])
        workers[victim] = _start(scene, victim, ready=False)
    for worker in workers:
        worker.ready()
    return scene.finish()


def _start(scene: Scene, number: int, *, ready: bool = True) -> Worker:
    static = {"instance-id": "static"} if number == 0 else {}
    return scene.start(f"w{number}-", ready=ready, **static, **_SMALL_BATCHES)


def _wait_for_output(scene: Scene, goal: int, at_most_s: float) -> None:
    """Wait for this much output, but not longer: a worker that is just starting may be killed without any."""
    try:
        scene.wait_output(goal, at_most_s)
    except AssertionError:
        return


def kill_redis_commit(scene: Scene) -> Verdict:
    """kill -9 around the write to Redis: before it, while it is in flight, half way through it, and right after it."""
    return _killed_at(scene, "noted", "before_commit", "before_redis", "half_redis", "stored")


def kill_produce_commit(scene: Scene) -> Verdict:
    """kill -9 inside the transaction: with outcomes but not offsets sent, with offsets sent but not committed, during
    the commit, and right after it.
    """
    return _killed_at(scene, "after_send", "before_end", "during_end", "during_end", "after_end")


def _killed_at(scene: Scene, *points: str) -> Verdict:
    """Let one worker after the other die at its third batch; the next one has the same instance id."""
    for point in points:
        dying = scene.start("dying", f"--fail={point}:die:3", instance_id="one", ready=False, **_SMALL_BATCHES)
        scene.send(mixed(scene.sent, 1_500, scene.random))
        dying.wait_dead(-9)
        scene.count_fault()
    scene.start("successor", instance_id="one")
    return scene.finish()


def clock_back(scene: Scene) -> Verdict:
    """The wall clock of a worker jumps back by up to an hour at random moments, also during linger and transactions.
    The worker is killed and restarted twice meanwhile. Only `time.monotonic` may matter.
    """
    for _ in range(2):
        jumpy = scene.start("jumpy", "--clock", instance_id="jumpy", linger_s=0.2)
        for _ in range(10):
            before = scene.published()
            scene.send(review(number) for number in range(scene.sent, scene.sent + 100))
            scene.wait_output(before + 1, 30)
        scene.kill(jumpy)
    scene.start("successor", instance_id="jumpy")
    return scene.finish()


def new_bundle(scene: Scene) -> Verdict:
    """Workers are restarted with another bundle under load. Each dies when Redis has a batch that the topic does not
    have, so that Redis holds one bundle's ratings when another bundle's are published.
    """
    for version in (TOY_VERSION, SECOND, TOY_VERSION):
        scene.publish_bundle(version)
        dying = scene.start("dying", "--fail=stored:die:3", instance_id="one", ready=False, **_SMALL_BATCHES)
        scene.send(mixed(scene.sent, 1_000, scene.random))
        dying.wait_dead(-9)
        scene.count_fault()
    scene.publish_bundle(SECOND)
    scene.start("successor", instance_id="one")
    return scene.finish()


def replayed(scene: Scene) -> Verdict:
    """Half of the history is rated again by a model that gives other stars, and written under the live keys, while
    reviews are edited and deleted and workers die when Redis has a batch that the topic does not have. The replay is
    killed in the middle and run again; then a hundred reviews are deleted.
    """
    steady = scene.start("steady")
    scene.send(mixed(0, 3_000, scene.random))
    scene.settle()
    half_at = datetime.now(UTC).isoformat()
    scene.registry.publish(SECOND, Change(always=2))
    out = f"again-{scene.mark}"
    scene.kafka.create_topics({out: 2})
    words = ["replay", "--from", "earliest", "--to", half_at, "--version", SECOND, "--topic-out", out, "--write-live"]
    command = [sys.executable, "-m", "worker", *words, "--redis-prefix", f"{out}:"]
    given = environment(**scene.settings)
    for end in ("killed", "done"):
        with subprocess.Popen(
            command, cwd=scene.root, env=given, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as replay:
            dying = scene.start("dying", "--fail=stored:die:3", instance_id="dying", ready=True, **_SMALL_BATCHES)
            scene.send(mixed(scene.sent, 1_500, scene.random))
            dying.wait_dead(-9)
            scene.count_fault()
            if end == "killed":
                scene.wait("the replay has rated", lambda: any(scene.redis.scan_iter(f"{out}:rating:*", count=5_000)))
                replay.kill()
                scene.count_fault()
            said = replay.communicate(timeout=PATIENCE_S)[1]
    assert replay.returncode == 0, said
    scene.kill(steady)
    scene.start("successor")
    scene.send(tombstone(number) for number in range(0, 3_000, 30))
    return scene.finish(replay=out)


def new_form(scene: Scene) -> Verdict:
    """Workers are restarted with the other form of the Redis hash under load, to form 2 and back, while reviews of both
    forms are edited and deleted. Each dies when Redis has a batch that the topic does not have.
    """
    for form in (1, 2, 1, 2):
        dying = scene.start(
            "dying", "--fail=stored:die:3", instance_id="one", ready=False, redis_form=form, **_SMALL_BATCHES
        )
        scene.send(mixed(scene.sent, 1_000, scene.random))
        dying.wait_dead(-9)
        scene.count_fault()
    scene.start("successor", instance_id="one", redis_form=1)
    return scene.finish()


def reload_under_load(scene: Scene) -> Verdict:
    """Workers poll the channel every 0.1 s under steady load. It moves back and forth between two bundles, the other
    one as a canary with a third of the ratings; then to a damaged bundle; then the registry is away for a moment.
    A worker is killed when Redis has a batch that the topic does not have.
    """
    watching: dict[str, Any] = {
        "reload_interval_s": 0.1,
        "shadow_channel": "candidate",
        "canary_share": 0.33,
        **_SMALL_BATCHES,
    }
    steady = scene.start("steady", ready=False, **watching)
    for _ in range(scene.stage.scaled(3, 20)):
        dying = scene.start("dying", "--fail=stored:die:15", instance_id="dying", **watching)
        scene.settle()
        for version, other in ((SECOND, TOY_VERSION), (TOY_VERSION, SECOND)) * 3:
            with _reload(scene, steady, "served"):
                scene.publish_bundle(version, candidate=other)
        with _reload(scene, steady, "refused"):
            scene.damage_bundle()
        with scene.registry.away(), _reload(scene, steady, "unreachable"):
            pass
        scene.send(mixed(scene.sent, 1_000, scene.random))
        dying.wait_dead(-9)
        scene.count_fault()
        scene.publish_bundle(TOY_VERSION, candidate=SECOND)
    return scene.finish()


@contextmanager
def _reload(scene: Scene, worker: Worker, outcome: str) -> Iterator[None]:
    """Send reviews around the block, until the worker has counted a reload with this outcome."""

    def count() -> float:
        return worker.total("starstream_model_reloads_total", outcome=outcome, role="stable")

    before = count()
    yield
    scene.send(mixed(scene.sent, 300, scene.random))
    scene.wait(f"a model {outcome}", lambda: count() > before)


CRASH: Final = (
    Case(kill_random),
    Case(kill_redis_commit),
    Case(kill_produce_commit),
    Case(new_bundle),
    Case(replayed),
    Case(new_form),
    Case(reload_under_load),
    Case(clock_back),
    Case(kill_at_least_once, delivery="at_least_once"),
)
