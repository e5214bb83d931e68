"""A long run, started by hand: many reviews, three workers, a kill every few seconds, memory measured throughout."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Final

from tests.chaos.audit import Verdict
from tests.chaos.cases.play import Case
from tests.chaos.reviews import mixed, unlabelled
from tests.chaos.scene import Scene

_SLICE: Final = 20_000


def soak_case(reviews: int, data: Path | None) -> Case:
    """Return a case with this many reviews, real ones if a file is given."""

    def soak(scene: Scene) -> Verdict:
        """Kill one of three workers during every slice of reviews."""
        stream = iter(unlabelled(data, reviews) if data else mixed(0, reviews, scene.random))
        workers = [scene.start(f"w{number}-", instance_id=f"w{number}", batch_reviews=2000) for number in range(3)]
        while scene.send(islice(stream, _SLICE)):
            victim = scene.random.randrange(3)
            goal = scene.published() + scene.random.randrange(_SLICE // 2)
            scene.wait_output(goal, 300)
            scene.kill(workers[victim])
            workers[victim] = scene.start(f"w{victim}-", instance_id=f"w{victim}", batch_reviews=2000)
            print(f"    {scene.sent} produced, {scene.kills} kills, lag {scene.lag()}", flush=True)
        scene.settle(3600)
        return scene.finish()

    return Case(soak)
