"""Cases with records that cannot be rated: the whole stream, one in 256, and one that kills the process."""

from __future__ import annotations

from typing import Final

from tests.chaos.audit import Verdict
from tests.chaos.cases.play import Case
from tests.chaos.reviews import garbage, killer, refused, review
from tests.chaos.scene import Scene

_BREAKER_EXIT: Final = 8  # worker.errors.ExitCode.BREAKER


def poison_all(scene: Scene) -> Verdict:
    """After a bad deploy upstream every record is invalid. The breaker opens, the worker keeps running and reports it,
    the dead letters are bounded, and SIGTERM ends it with exit code 8. Then the operator turns the breaker off.
    """
    worker = scene.start("one")
    scene.send(review(number) for number in range(500))
    scene.settle()
    scene.send(garbage(number) for number in range(scene.sent, scene.sent + 5_000))
    scene.count_fault()
    worker.wait_reason("breaker", "WORKER_BREAKER")
    opened = worker.total("starstream_breaker_open")
    assert opened == 1, f"starstream_breaker_open is {opened}"
    letters = scene.published()
    assert letters < 500 * 2 + 1_500, f"{letters} records were published before the breaker opened"
    lag = scene.lag()
    assert lag > 3_000, f"the whole topic went to the dead letters: lag {lag}"
    worker.drain(_BREAKER_EXIT)
    scene.restored()
    scene.start("operator", breaker_share=1, breaker_consecutive=0)
    return scene.finish()


def poison_one(scene: Scene) -> Verdict:
    """The runtime refuses one review in 256, in the middle of its batch, and one record in 256 is invalid: all others
    are rated. The worker is killed once meanwhile.
    """
    worker = scene.start("one", instance_id="one", batch_reviews=256)
    for turn in range(2):
        numbers = range(turn * 5_000, turn * 5_000 + 5_000)
        before = scene.published()
        scene.send(
            refused(number) if number % 256 == 7 else garbage(number) if number % 256 == 131 else review(number)
            for number in numbers
        )
        scene.wait_output(before + 1)
        if turn == 0:
            scene.kill(worker)
            worker = scene.start("one", instance_id="one", batch_reviews=256, ready=False)
    return scene.finish()


def killer_record(scene: Scene) -> Verdict:
    """Two reviews kill the process that rates them, under `--processes 2`: the supervisor restarts the children, both
    reviews become dead letters, and all others are rated.
    """
    scene.start("supervisor", "--killer", instance_id="host", processes=2)
    scene.send(killer(number) if number in {700, 1_300} else review(number) for number in range(2_000))
    scene.count_fault()
    return scene.finish()


POISON: Final = (Case(poison_all), Case(poison_one), Case(killer_record))
