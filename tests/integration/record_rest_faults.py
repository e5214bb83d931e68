"""What a real `serve` emits in a fault, as tests of its alerts: `python -m tests.integration.record_rest_faults`.

As `record_faults` does for workers, in 10 minutes: every fault at once, each with a front of its own that is asked all
the time, and a worker beside it that rates a stream. Writes deploy/prometheus/tests/recorded_rest_<fault>.yml.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2

from deploy.kafka import LocalKafka
from deploy.redis import LocalRedis
from tests.conftest import TOY_REGISTRY
from tests.deploy.assets import ROOT
from tests.fixtures.records import Message
from tests.fixtures.rest import send, serving_rest
from tests.fixtures.running import RunningWorker
from tests.integration.record_faults import INTERVAL_S, READ, page_of, working

BEFORE: Final = 2 * 4  # scrapes
AFTER: Final = 8 * 4
JOB: Final = "starstream-rest"


@dataclass(slots=True)
class Scene:
    """One front, those who ask it, and what was scraped."""

    served: RunningWorker
    redis: LocalRedis
    fault: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    scrapes: list[dict[str, float]] = field(default_factory=list)

    def scrape(self) -> None:
        """Read its page once, as Prometheus does."""
        own = f'job="{JOB}", instance="rest-0:8080"'
        samples = self.served.samples()
        found = {f"up{{{own}}}": float(bool(samples))}
        for (name, labels), value in samples.items():
            if name in READ:
                more = "".join(f', {label}="{text}"' for label, text in sorted(labels))
                found[f"{name}{{{own}{more}}}"] = value
        self.scrapes.append(found)

    def ask(self, pause_s: float, path: str, body: Any = None) -> None:
        """Ask until it is over; on a thread."""
        while not self.over.wait(pause_s):
            try:
                send(self.served, path, body, method="GET" if body is None else "POST")
            except httpx2.HTTPError:
                continue


def overload(scene: Scene) -> None:
    """Let eight clients post more at once than may wait."""
    for _ in range(8):
        threading.Thread(target=scene.ask, args=(0.2, "/v1/ratings", {"reviews": ["good"] * 1000}), daemon=True).start()


FAULTS: Final[Mapping[str, tuple[str, str, Callable[[Scene], object]]]] = {
    "overloaded": ("clients post more than may wait", "RestRefusing", overload),
    "redis_away": ("Redis is away from a front", "RestFailing", lambda scene: scene.redis.stop()),
}


def main() -> None:
    """Record every fault and write the tests."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        beside = working(stack, folder, 1, stack.enter_context(LocalKafka()), stack.enter_context(LocalRedis()))
        scenes = {}
        for name in FAULTS:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            redis = stack.enter_context(LocalRedis())
            environ = {"WORKER_REGISTRY": str(TOY_REGISTRY), "WORKER_REDIS_URL": redis.url}
            environ |= {"WORKER_REST_QUEUE_REVIEWS": "1000", "WORKER_RELOAD_INTERVAL_S": "5"}
            scene = Scene(stack.enter_context(serving_rest(folder, environ)), redis)
            stack.callback(scene.over.set)
            for asked in ((1.0, "/v1/ratings", {"text": "good"}), (1.0, "/v1/ratings/r-1")):
                threading.Thread(target=scene.ask, args=asked, daemon=True).start()
            scenes[name] = scene
        start = time.monotonic()
        for number in range(BEFORE + AFTER):
            if number == BEFORE:
                for name, scene in scenes.items():
                    FAULTS[name][2](scene)
            beside.scrape()
            for scene in scenes.values():
                scene.scrape()
            beside.deployment.produce(*[Message(b"love it"), Message(b"bad")] * 15)
            time.sleep(max(0.0, start + (number + 1) * INTERVAL_S - time.monotonic()))
        for name, scene in scenes.items():
            title, alert, _ = FAULTS[name]
            scrapes = [{**ours, **worker} for ours, worker in zip(scene.scrapes, beside.scrapes, strict=True)]
            text = page_of(title, [alert], scrapes, BEFORE, "record_rest_faults")
            (ROOT / f"deploy/prometheus/tests/recorded_rest_{name}.yml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
