"""A label model end to end: Kafka, Redis in both forms, the topic, metrics, a shadow, the commands, and REST."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.output.rating_hash import rating_from_hash
from schemas.rating import RATING
from tests.fixtures.bundles import NAMES, SECOND, THIRD, Change, ToyRegistry
from tests.fixtures.records import Message
from tests.fixtures.rest import send, serving_rest
from tests.fixtures.running import Deployment, RunningWorker
from worker.__main__ import main
from worker.errors import ExitCode

TEXTS = ("love it", "bad but good", "worst app", "ok ok app", "something else")
GIVEN: tuple[set[str], ...] = ({"joy"}, {"anger", "joy"}, {"anger"}, {"neutral"}, set())
REVIEWS = 100


def message(number: int) -> Message:
    value = {"text": TEXTS[number % 5], "app_id": "maps", "app_version": "2.1", "score": 4}
    return Message(json.dumps(value).encode(), f"r-{number}".encode())


Running = tuple[Deployment, RunningWorker]


@pytest.fixture(params=[1, 2])
def labelled(
    request: pytest.FixtureRequest, deployment: Deployment, tmp_path: Path
) -> tuple[Deployment, RunningWorker]:
    """A worker that rated a hundred reviews by a label model, with an equal candidate in shadow."""
    registry = ToyRegistry(tmp_path / "registry")
    registry.publish(SECOND, Change(names=NAMES))
    registry.publish(THIRD, Change(names=NAMES, temperature=6.0))  # gives no label: no share reaches 0.7
    registry.point("stable", SECOND)
    registry.point("candidate", THIRD)
    deployment.settings |= {"registry": str(registry.root), "redis_form": request.param, "shadow_channel": "candidate"}
    deployment.settings |= {"app_metrics": "maps", "reasons": "low", "reload_interval_s": 0.2}
    worker = deployment.worker().ready()
    worker.until(lambda: worker.total("starstream_shadow_info") == 1, "the candidate runs in shadow")
    deployment.produce(*(message(number) for number in range(REVIEWS)))
    worker.until(lambda: worker.total("starstream_reviews_settled_total") == REVIEWS, "all are counted")
    return deployment, worker


def test_a_label_model_from_kafka_to_every_reader(
    labelled: Running,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    clean_environment: pytest.MonkeyPatch,
) -> None:
    del clean_environment
    deployment, worker = labelled
    published = {seen.id: json.loads(seen.value or b"") for seen in deployment.read(deployment.output)}
    assert len(published) == REVIEWS
    for number in range(REVIEWS):
        rating = published[f"r-{number}"]
        assert (rating["rating"], rating["expected_rating"], len(rating["probabilities"])) == (None, None, 5)
        assert set(rating["labels"]) == GIVEN[number % 5]
        assert all(rating["probabilities"][NAMES.index(name)] == share for name, share in rating["labels"].items())
        assert rating["author_score"] == 4
        assert "mismatch" not in rating, "no stars can contradict labels"
        assert rating_from_hash(deployment.stored(f"r-{number}"), f"r-{number}") == RATING.validate_python(rating)
    assert published["r-0"]["reasons"] == ["love"]
    assert "reasons" not in published["r-4"], "it has no label"
    _check_metrics(worker)
    _check_commands(deployment, tmp_path, capsys)
    _check_rest(deployment, tmp_path)
    deployment.produce(*(Message(None, f"r-{number}".encode()) for number in range(0, REVIEWS, 5)))
    worker.until(lambda: worker.total("starstream_reviews_settled_total") == REVIEWS + 20, "deletions too")
    capsys.readouterr()
    assert main(["get", "--app", "maps", "--json", *deployment.flags()]) == ExitCode.OK
    found = json.loads(capsys.readouterr().out)
    assert (found["count"], found["labels"]) == (80, {"anger": 40, "joy": 20, "neutral": 20})


def _check_metrics(worker: RunningWorker) -> None:
    given = {name: worker.total("starstream_labels_total", label=name, model_version=SECOND) for name in NAMES}
    assert given == {"anger": 40, "boredom": 0, "neutral": 20, "surprise": 0, "joy": 40}
    assert worker.total("starstream_ratings_total", rating="labels") == REVIEWS
    assert worker.total("starstream_ratings_total") == REVIEWS, "each review once"
    assert worker.total("starstream_app_labels_total", app_id="maps", label="joy") == 40
    assert worker.total("starstream_feedback_reviews_total") == 0, "an author's stars say nothing of labels"
    assert worker.total("starstream_shadow_labels_total", label="joy", given_by="stable") == 40
    assert worker.total("starstream_shadow_labels_total", given_by="both") == 0
    assert worker.total("starstream_shadow_agreed_total") == 20, "those without a label"


def _check_commands(deployment: Deployment, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = deployment.flags()
    capsys.readouterr()
    assert main(["get", "r-1", *flags]) == ExitCode.OK
    said = capsys.readouterr().out
    assert "anger, joy" in said
    assert "rating" not in said.split("\n")[0]
    assert main(["get", "--app", "maps", "--json", *flags]) == ExitCode.OK
    found = json.loads(capsys.readouterr().out)
    assert found == {
        "app_id": "maps", "count": 100, "mean": None, "stars": {}, "labels": {"anger": 40, "joy": 40, "neutral": 20},
    }  # fmt: skip
    assert main(["watch", "--last", "100", "--count", "20", "--label", "neutral", *flags]) == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 20
    assert all(line.startswith("neutral 77%") for line in lines), lines[:3]
    assert main(["explain", "bad but good", "--json", *flags]) == ExitCode.OK
    explained = json.loads(capsys.readouterr().out)
    assert set(explained["labels"]) == {"anger", "joy"}
    assert explained["explanation"]["label"] in explained["labels"]
    texts = tmp_path / "texts.csv"
    texts.write_text("text\n" + "\n".join(TEXTS) + "\n", encoding="utf-8")
    out = tmp_path / "out.jsonl"
    assert main(["predict", str(texts), "--output", str(out), *flags]) == ExitCode.OK
    predicted = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [set(line["labels"]) for line in predicted] == [*GIVEN]


def _check_rest(deployment: Deployment, tmp_path: Path) -> None:
    with serving_rest(tmp_path, deployment.environ) as served:
        found: Any = send(served, "/v1/ratings", {"text": "bad but good"}).json()
        assert (found["rating"], set(found["labels"])) == (None, {"anger", "joy"})
        assert send(served, "/v1/ratings/r-1", method="GET").json()["labels"] == found["labels"]
        model: Any = send(served, "/v1/model", method="GET").json()
        assert (model["task"], model["labels"]) == ("labels", [*NAMES])
        tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["love it", "something else"]}
        answer: Any = send(served, "/v2/models/starstream/infer", {"inputs": [tensor]}).json()
        outputs = {output["name"]: output["data"] for output in answer["outputs"]}
        assert outputs["labels"] == ["joy", ""]
        assert len(outputs["probabilities"]) == 10
