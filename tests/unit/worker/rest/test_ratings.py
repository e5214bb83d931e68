"""`POST /v1/ratings`: the stream's ratings, checks and limits over HTTP."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from schemas.bundle import read_bundle
from schemas.rating import RATING, WHERE_KNOWN
from tests.conftest import TOY_REGISTRY, TOY_VERSION
from tests.doubles import REFUSED
from tests.fixtures.serving import pending
from worker.clock import SystemClock
from worker.model.classifier import TfliteClassifier
from worker.model.explaining import MOST_TEXTS
from worker.model.runtime import load_runtime
from worker.ops.metrics import Metrics
from worker.records import Rated

Client = Callable[..., TestClient]
TEXTS = ["good app", "bad", "the worst app, really the worst", "😡 so terrible", "meh " * 200, "No words I know"]


def test_a_text_gets_the_streams_rating_to_the_last_digit(rating_client: Client, metrics: Metrics) -> None:
    runtime, interpreter = load_runtime()
    bundle = read_bundle(TOY_REGISTRY / TOY_VERSION)
    stream = TfliteClassifier(bundle, interpreter, runtime=runtime, metrics=metrics, clock=SystemClock())
    rated = stream.rate(pending(*TEXTS), "2026-01-01T00:00:00.000Z")
    own = {"review_id", "rated_at", "source"}
    wanted = [
        {name: value for name, value in json.loads(outcome.value).items() if name not in own}
        for outcome in rated
        if isinstance(outcome, Rated)
    ]
    client = rating_client()
    many = client.post("/v1/ratings", json={"reviews": TEXTS}).json()["ratings"]
    single = [client.post("/v1/ratings", json={"text": text}).json() for text in TEXTS]
    for found in (many, single):
        assert [{name: rating[name] for name in rating if name not in own} for rating in found] == wanted
    known = {*RATING.json_schema()["properties"]} - {"source", *WHERE_KNOWN} | {"unknown_share"}
    assert set(single[0]) == known


def test_the_fields_of_a_review_are_found_as_in_the_stream(rating_client: Client) -> None:
    client = rating_client(text_field="data.comment", rest_deadline_s=60)
    review = {"data": {"comment": "good"}, "reviewId": "r-1", "appId": "maps", "score": "nonsense"}
    found = client.post("/v1/ratings", json={"reviews": [review]}).json()["ratings"][0]
    assert (found["review_id"], found["app_id"], found["rating"]) == ("r-1", "maps", 5)


@pytest.mark.parametrize("name", ['x,"source":{"topic":"y"}', 'x","source":{', ',\\"source":{'])
def test_a_name_that_looks_like_a_rating_s_source_goes_through(rating_client: Client, name: str) -> None:
    review = {"text": "good", "app_id": name, "created_at": name, "score": 5}
    client = rating_client(rest_deadline_s=60)
    one = client.post("/v1/ratings", json=review).json()
    (many,) = client.post("/v1/ratings", json={"reviews": [review]}).json()["ratings"]
    for found in (one, many):
        assert (found["app_id"], found["created_at"], found["author_score"]) == (name, name, 5.0)
        assert "source" not in found


@pytest.mark.parametrize(
    ("body", "status", "pointer", "reason"),
    [
        ({"text": ""}, 422, "/text", "no_text"),
        ({"text": 5}, 422, "/text", "wrong_type"),
        ({"message": "good"}, 422, "/text", "no_text"),
        ({"text": "x" * 101}, 422, "/text", "text_too_long"),
        ({"text": "a\0b"}, 422, "/text", "null_byte"),
        ({"text": "a", "review_id": "x" * 300}, 422, "/review_id", "bad_identifier"),
        ({"text": f"a {REFUSED}"}, 422, "/text", "unratable"),
        ({"reviews": ["good", 5]}, 422, "/reviews/1", "wrong_type"),
        ({"reviews": ["good", {"text": " "}]}, 422, "/reviews/1/text", "no_text"),
        ({"reviews": []}, 422, "/reviews", None),
        ({"reviews": ["a"] * 6}, 422, "/reviews", None),
        ({"reviews": "good"}, 422, "/reviews", None),
        (["good"], 422, "", "wrong_type"),
        ("good", 422, "", "wrong_type"),
    ],
    ids=str,
)
def test_an_error_names_the_field_and_quotes_no_text(
    rating_client: Client, body: Any, status: int, pointer: str, reason: str | None
) -> None:
    client = rating_client(max_text_chars=100, rest_max_reviews=5, rest_deadline_s=60)
    answer = client.post("/v1/ratings", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    problem = answer.json()
    assert (problem["status"], problem["title"]) == (status, HTTPStatus(status).phrase)
    assert (problem["errors"][0]["pointer"], problem["errors"][0].get("reason")) == (pointer, reason)
    assert REFUSED not in answer.text


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{", {}, 400),
        (b'{"text": "\xff"}', {}, 400),
        (b'{"text": "\\ud800"}', {}, 400),
        (b"[" * 100_000, {}, 400),
        (b"", {}, 400),
        (b'{"text": "good"}', {"content-type": "text/plain"}, 415),
        (b'{"text": "good"}', {"content-encoding": "gzip"}, 415),
        (b'{"text": "' + b"x" * 200_000 + b'"}', {}, 413),
        (b"{}", {"content-length": "9" * 5000}, 413),
    ],
    ids=["cut", "latin", "surrogate", "deep", "empty", "type", "gzip", "large", "length"],
)
def test_a_body_that_cannot_be_read_is_a_problem(
    rating_client: Client, content: bytes, headers: dict[str, str], status: int
) -> None:
    client = rating_client(rest_max_body_bytes=150_000)
    answer = client.post("/v1/ratings", content=content, headers={"content-type": "application/json", **headers})
    assert (answer.status_code, answer.json()["status"]) == (status, status)


def test_a_body_without_a_length_is_cut_at_the_limit(rating_client: Client) -> None:
    client = rating_client(rest_max_body_bytes=1000)
    parts = iter([b'{"text": "', *[b"x" * 100] * 20, b'"}'])
    answer = client.post("/v1/ratings", content=parts, headers={"content-type": "application/json"})
    assert answer.status_code == 413


def test_a_wrong_route_or_method_is_a_problem_too(rating_client: Client) -> None:
    client = rating_client()
    for answer, status in ((client.get("/nowhere"), 404), (client.put("/v1/ratings"), 405)):
        assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert client.put("/v1/ratings").headers["allow"] == "POST"
    assert client.put("/v1/ratings/r-1").headers["allow"] == "GET, DELETE"


def test_a_field_that_holds_the_text_is_guessed_and_no_setting_named(rating_client: Client) -> None:
    detail = rating_client().post("/v1/ratings", json={"message": "it is good"}).json()["detail"]
    assert detail.endswith("the fields are: message; if message holds it, send it as text")
    assert "WORKER_" not in rating_client().post("/v1/ratings", json={"stars": 5}).json()["detail"]


def test_the_apis_page_loads_nothing_from_elsewhere(rating_client: Client) -> None:
    client = rating_client()
    page = client.get("/docs")
    assert "https://" not in page.text + page.headers["content-security-policy"]
    parts = re.findall(r'(?:src|href)="(docs/[^"]+)"', page.text)
    assert len(parts) == 2
    for part in parts:
        assert client.get(f"/{part}").status_code == 200
    assert client.get("/docs/../command.py").status_code == client.get("/docs/core.py").status_code == 404


def test_the_operators_pages(rating_client: Client) -> None:
    client = rating_client()
    client.post("/v1/ratings", json={"text": "good"})
    assert client.get("/livez").json() == {"alive": True}
    assert client.get("/readyz").json() == {"ready": True, "reasons": {}, "notes": {"model": TOY_VERSION}}
    model = client.get("/v1/model").json()
    assert (model["model_version"], model["remark"]) == (TOY_VERSION, None)
    lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith("starstream_")]
    assert [line for line in lines if 'source="rest"' not in line] == []
    for wanted in (
        f'starstream_ratings_total{{model_version="{TOY_VERSION}",rating="5",source="rest"}} 1.0',
        'starstream_rest_requests_total{method="POST",route="/v1/ratings",source="rest",status="200"} 1.0',
        'starstream_ready{source="rest"} 1.0',
    ):
        assert wanted in lines


def test_every_route_is_described_with_its_problems(rating_client: Client) -> None:
    document = rating_client().get("/openapi.json").json()
    post = document["paths"]["/v1/ratings"]["post"]
    examples = post["requestBody"]["content"]["application/json"]["examples"]
    assert {"one", "many"} == set(examples)
    for example in examples.values():
        assert rating_client().post("/v1/ratings", json=example["value"]).status_code == 200
    assert "ProblemBody" in document["components"]["schemas"]
    assert {"200", "400", "413", "415", "422", "429", "503"} <= set(post["responses"])


def test_a_rating_is_explained_on_request_and_is_the_same(rating_client: Client) -> None:
    client = rating_client(rest_deadline_s=60)
    plain = client.post("/v1/ratings", json={"text": "Good, but TERRIBLE 😡 bad", "review_id": "r-1"}).json()
    found = client.post(
        "/v1/ratings?explain=true", json={"text": "Good, but TERRIBLE 😡 bad", "review_id": "r-1"}
    ).json()
    explanation = found.pop("explanation")
    assert "explanation" not in plain
    assert {**found, "rated_at": ""} == {**plain, "rated_at": ""}
    effects = {word["text"]: word["effect"] for word in explanation["words"]}
    assert [*effects] == ["Good", ",", "but", "TERRIBLE", "😡", "bad"]
    assert effects["TERRIBLE"] < 0 < effects["Good"]
    assert (explanation["tokens"], explanation["unknown"]) == (6, 3)
    many = client.post("/v1/ratings?explain=true", json={"reviews": ["good", "so bad"]}).json()["ratings"]
    assert [len(rating["explanation"]["words"]) for rating in many] == [1, 2]


def test_only_a_few_reviews_are_explained_at_once(rating_client: Client) -> None:
    client = rating_client(rest_deadline_s=60)
    reviews = {"reviews": ["good"] * (MOST_TEXTS + 1)}
    assert client.post("/v1/ratings", json=reviews).status_code == 200
    answer = client.post("/v1/ratings?explain=true", json=reviews)
    assert (answer.status_code, answer.json()["detail"]) == (422, "explain: at most 32 reviews at once; came 33")
    assert client.post("/v1/ratings?explain=perhaps", json={"text": "good"}).status_code == 422


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/ratings/%ff"), ("DELETE", "/v1/ratings/r%2F1%C3"), ("GET", "/v1/apps/%80/summary")],
)
def test_an_id_that_is_not_utf_8_is_refused_and_not_replaced(rating_client: Client, method: str, path: str) -> None:
    found = rating_client().request(method, path)
    assert found.status_code == 422
    assert "not UTF-8" in found.json()["detail"]


def test_the_replacement_character_is_a_character_of_an_id(rating_client: Client) -> None:
    found = rating_client(redis_url="redis://localhost:1").get("/v1/ratings/%EF%BF%BD")
    assert found.status_code == 503  # it is read, from a Redis that is away


def test_what_stands_beside_several_reviews_is_refused_and_not_left_out(rating_client: Client) -> None:
    found = rating_client().post("/v1/ratings", json={"text": "bad", "reviews": ["good"], "app_id": "maps"})
    assert found.status_code == 422
    assert found.json()["detail"] == "expected reviews alone, or one review without it; came also app_id, text"


def test_a_front_that_rates_with_the_starter_says_so(rating_client: Client, tmp_path: Path) -> None:
    model = rating_client(registry=str(tmp_path), starter="on").get("/v1/model").json()
    assert model["remark"].startswith("this is the starter, trained on reviews of apps and of a shop; train one")
