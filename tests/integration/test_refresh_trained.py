"""The whole refresh by its commands: train, gate, shadow, promote, roll back.

A small network follows the toy bundle; everything else is real. `test_worker_refresh` has the cases
that need no training.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from itertools import count, cycle
from pathlib import Path

from schemas.channels import CHANNELS_FILE
from schemas.rating import Rating
from tests.conftest import ROOT, TOY_VERSION
from tests.fixtures.bundles import ToyRegistry
from tests.fixtures.records import Message
from tests.fixtures.running import Deployment, RunningWorker
from tests.model.reviews import synthetic, write_csv

SMALL = ["--units", "8", "--embedding", "8", "--batch-rows", "32", "--learning-rate", "0.02", "--wide-pairs", "1024"]
SMALL += ["--no-baselines", "--gate-slower", "1000"]  # the speed of the toy says nothing
PROMOTED_S = 15.0  # "within seconds", on a busy machine


def trainer(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "trainer", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def served(worker: RunningWorker, version: str) -> float:
    return worker.total("starstream_ratings_total", model_version=version)


def test_refresh_gates_shadows_promotes_and_rolls_back(deployment: Deployment, tmp_path: Path) -> None:
    registry, first = ToyRegistry(tmp_path / "models").root, TOY_VERSION
    worker = deployment.worker(registry=str(registry), reload_interval_s="0.5", shadow_channel="candidate").ready()
    ended = threading.Event()
    sent: list[str] = []

    def stream() -> None:
        for number, (text, score) in zip(count(), cycle(synthetic(400, seed=5)), strict=False):
            if ended.wait(0.005):
                return
            value = json.dumps({"review_id": f"r{number}", "text": text, "score": score})
            deployment.produce(Message(value.encode(), f"r{number}".encode()))
            sent.append(f"r{number}")

    thread = threading.Thread(target=stream, daemon=True)
    thread.start()
    try:
        worker.until(lambda: served(worker, first) > 50, "the stream runs")
        reviews = write_csv(tmp_path / "reviews.csv", synthetic(600, seed=2))
        held_out = write_csv(tmp_path / "held_out.csv", synthetic(400, seed=5))
        files = ["--data", str(reviews), "--test-data", str(held_out), "--registry", str(registry)]
        said = trainer("train", *files, *SMALL, "--epochs", "3", "--publish", "--channel", "candidate")
        second = json.loads((registry / CHANNELS_FILE).read_bytes())["candidate"]
        assert "passes" in said
        assert "FAILS" not in said
        worker.until(
            lambda: worker.total("starstream_shadow_reviews_total", model_version=second) > 100, "the shadow rates"
        )
        assert served(worker, second) == 0
        trainer("promote", "--registry", str(registry), "--message", "better")
        worker.until(lambda: served(worker, second) > 100, "promoted", timeout_s=PROMOTED_S)
        trainer("rollback", "--registry", str(registry), "--message", "to see it")
        before = served(worker, first)
        worker.until(lambda: served(worker, first) > before + 100, "rolled back", timeout_s=PROMOTED_S)
    finally:
        ended.set()
        thread.join(30)
    worker.until(lambda: deployment.lag() == 0, "all committed")
    right = {
        version: worker.total("starstream_feedback_correct_total", model_version=version) / served(worker, version)
        for version in (first, second)
    }
    assert right[second] > right[first], "the trained model is better on the stream, and the metrics show it"
    assert worker.stop() == 0
    found = [Rating.from_json(message.value) for message in deployment.read(deployment.output) if message.value]
    assert Counter(rating.review_id for rating in found) == Counter(sent)
    assert {rating.model_version for rating in found} == {first, second}
    assert deployment.stored_ids() == set(sent)
