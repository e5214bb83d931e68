"""Cases that feed what can not be rated: all of the stream, one in 256, one that kills the process."""

from __future__ import annotations

from typing import Final

from tests.chaos.audit import Verdict
from tests.chaos.cases.play import Case
from tests.chaos.reviews import garbage, killer, refused, review
from tests.chaos.scene import Scene

_BREAKER_CLOSED: Final = 8  # worker.errors.ExitCode.BREAKER


def poison_all(scene: Scene) -> Verdict:
    """A bad deploy upstream: every record is invalid. The breaker opens, the worker stays up and says so, the dead
    letters stay bounded, SIGTERM ends it with exit code 8; an operator who looked lets the rest through.
    """
    worker = scene.worker("one")
    scene.produce(review(number) for number in range(500))
    scene.settle()
    scene.produce(garbage(number) for number in range(scene.sent, scene.sent + 5_000))
    scene.hurt()
    worker.wait_reason("breaker", "WORKER_BREAKER")
    opened = worker.metric("starstream_breaker_open")
    assert opened == 1, f"starstream_breaker_open is {opened}"
    letters = scene.published()
    assert letters < 500 * 2 + 1_500, f"{letters} records were published before the breaker opened"
    lag = scene.lag()
    assert lag is not None
    assert lag > 3_000, f"the topic was drained into the dead letters: lag {lag}"
    worker.stop(_BREAKER_CLOSED)
    scene.healed()
    scene.worker("operator", breaker_share=1, breaker_consecutive=0)
    return scene.finish()


def poison_one(scene: Scene) -> Verdict:
    """One review in 256 is refused by the runtime in the middle of its batch, and one record in 256 is garbage: every
    neighbour is rated; the worker is killed once meanwhile.
    """
    worker = scene.worker("one", instance_id="one", batch_reviews=256)
    for turn in range(2):
        numbers = range(turn * 5_000, turn * 5_000 + 5_000)
        before = scene.published()
        scene.produce(
            refused(number) if number % 256 == 7 else garbage(number) if number % 256 == 131 else review(number)
            for number in numbers
        )
        scene.wait_output(before + 1)
        if turn == 0:
            scene.kill(worker)
            worker = scene.worker("one", instance_id="one", batch_reviews=256, ready=False)
    return scene.finish()


def killer_record(scene: Scene) -> Verdict:
    """Two reviews kill the process that rates them, under `--processes 2`: the supervisor restarts the children, both
    end as dead letters, and all others are rated.
    """
    scene.worker("supervisor", "--killer", instance_id="host", processes=2)
    scene.produce(killer(number) if number in {700, 1_300} else review(number) for number in range(2_000))
    scene.hurt()
    return scene.finish()


POISON: Final = (Case(poison_all), Case(poison_one), Case(killer_record))
