"""The refresh from an object store: a worker follows channels on a real S3 server, and keeps rating when that dies."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.conftest import TOY_REGISTRY, TOY_VERSION, serving
from tests.fixtures.bundles import SECOND, THIRD, Change, toy
from tests.fixtures.records import Message
from tests.fixtures.running import Deployment
from tests.fixtures.s3 import BUCKET, LocalS3
from trainer.registry.history import Why
from trainer.registry.open import open_registry

WHY = Why(action="promote", message="a test")
# The client keeps its connections open for as long as the process runs.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalS3]:
    with serving(LocalS3()) as server:
        server.make_bucket()
        server.use(monkeypatch)
        yield server


def test_a_worker_follows_channels_on_s3_and_keeps_rating_without_it(deployment: Deployment, s3: LocalS3) -> None:
    location = f"s3://{BUCKET}/{deployment.mark}/models"
    registry = open_registry(location)
    folder = TOY_REGISTRY / TOY_VERSION
    registry.publish(TOY_VERSION, {path.name: path.read_bytes() for path in folder.iterdir()})
    registry.point("stable", TOY_VERSION, WHY)
    worker = deployment.worker(registry=location, reload_interval_s="0.3", shadow_channel="candidate").ready()
    registry.publish(SECOND, toy(SECOND, Change(always=1)))
    registry.point("candidate", SECOND, WHY)
    worker.until(lambda: worker.total("starstream_shadow_info", model_version=SECOND) == 1, "it runs in shadow")
    registry.point("stable", SECOND, WHY)
    worker.until(lambda: len(worker.said("model_serving")) == 2, "it serves, though nothing has come to rate")
    registry.publish(THIRD, {**toy(THIRD), "model.tflite": b"cut"})
    registry.point("stable", THIRD, WHY)
    worker.until(lambda: worker.said("model_refused"), "the damaged version is refused")
    assert "sha256 differs from the manifest" in worker.said("model_refused")[0]["reason"]
    s3.stop()
    worker.until(lambda: worker.said("registry_unreachable"), "the registry is unreachable")
    deployment.produce(*(Message(b"love it", f"r{number}".encode()) for number in range(300)))
    worker.until(lambda: deployment.lag() == 0, "all committed")
    status, page = worker.get("/readyz")
    assert status == 200
    assert json.loads(page)["notes"]["registry"].startswith("WORKER_REGISTRY")
    assert worker.total("starstream_registry_reachable") == 0
    ratings = [json.loads(record.value or b"") for record in deployment.read(deployment.output)]
    assert {(rating["model_version"], rating["rating"]) for rating in ratings} == {(SECOND, 1)}
    assert len(ratings) == 300
    assert worker.stop() == 0
