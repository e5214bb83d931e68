"""Who may ask the front, how often, and what headers tell browsers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

from tests.doubles import ManualClock
from worker.rest.problems import Problem
from worker.rest.security import HEADERS, RateLimit
from worker.settings import WorkerSettings

Client = Callable[..., TestClient]
TOKEN, READ_TOKEN = "a-token-of-some-length", "another-of-some-length"
TEXT = {"text": "good"}


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (None, 401),
        ("", 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        (f"Basic {TOKEN}", 401),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        ("Bearer g\xfcltig", 401),
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (f"Bearer {READ_TOKEN}", 200),
    ],
)
def test_with_a_token_set_only_its_owners_may_ask(rating_client: Client, given: str | None, status: int) -> None:
    client = rating_client(rest_token=TOKEN, rest_read_token=READ_TOKEN, rest_deadline_s=60)
    headers = [] if given is None else [(b"authorization", given.encode("latin-1"))]
    for answer in (
        client.post("/v1/ratings", json=TEXT, headers=headers),
        client.get("/v1/model", headers=headers),
        client.get("/metrics", headers=headers),
    ):
        assert answer.status_code == status
        assert status == 200 or answer.headers["www-authenticate"] == "Bearer"
    assert client.get("/livez").status_code == client.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    ("settings", "given", "status"),
    [
        ({"rest_token": TOKEN}, "", 401),
        ({"rest_token": TOKEN, "rest_read_token": READ_TOKEN}, READ_TOKEN, 403),
        ({"rest_read_token": READ_TOKEN}, READ_TOKEN, 403),
        ({"rest_read_token": READ_TOKEN}, "", 401),
        ({"rest_token": TOKEN, "rest_read_token": READ_TOKEN}, TOKEN, 422),
        ({}, "", 422),
    ],
)
def test_the_read_only_token_changes_nothing(
    rating_client: Client, settings: dict[str, str], given: str, status: int
) -> None:
    client = rating_client(**settings)
    headers = {"authorization": f"Bearer {given}"} if given else {}
    answers = (
        client.delete(f"/v1/ratings/{'x' * 300}", headers=headers),
        client.post("/v1/reviews", json={"text": ""}, headers=headers),
    )
    assert [answer.status_code for answer in answers] == [status] * 2


def test_the_document_asks_for_a_token_only_when_one_is_set(rating_client: Client) -> None:
    documents = [rating_client(**values).get("/openapi.json").json() for values in ({}, {"rest_token": TOKEN})]
    asked = [
        {
            path
            for path, methods in document["paths"].items()
            if any("security" in method for method in methods.values())
        }
        for document in documents
    ]
    assert asked[0] == set()
    free = {"/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/v2/models/{name}/ready"}
    assert set(documents[1]["paths"]) - asked[1] == free


@pytest.mark.parametrize(
    "values",
    [
        {"rest_token": "short"},
        {"rest_token": "with blanks in between them"},
        {"rest_cors_origins": ["shop.example"]},
        {"rest_cors_origins": ["https://shop.example/path"]},
        {"rest_ssl_certfile": __file__},
        {"rest_ssl_certfile": __file__, "rest_ssl_keyfile": __file__},
    ],
)
def test_a_setting_that_would_not_protect_is_refused(clean_environment: Any, values: dict[str, Any]) -> None:
    del clean_environment
    with pytest.raises(ValidationError):
        WorkerSettings(**values)


@pytest.mark.parametrize(
    ("host", "values", "status"),
    [
        ("localhost:8080", {}, 200),
        ("127.0.0.1", {}, 200),
        ("[::1]:8080", {}, 200),
        ("LOCALHOST", {}, 200),
        ("evil.example", {}, 421),
        ("localhost.evil.example:8080", {}, 421),
        ("", {}, 421),
        ("shop.example", {"rest_token": TOKEN}, 401),
        ("shop.example", {"rest_host": "0.0.0.0"}, 200),  # noqa: S104
    ],
)
def test_on_loopback_without_a_token_it_answers_to_local_names_only(
    rating_client: Client, host: str, values: dict[str, Any], status: int
) -> None:
    client = rating_client(**values, rest_deadline_s=60)
    assert client.post("/v1/ratings", json=TEXT, headers={"host": host}).status_code == status


def test_every_answer_has_the_security_headers(rating_client: Client) -> None:
    client = rating_client()
    for answer in (client.get("/v1/model"), client.get("/nowhere"), client.post("/v1/ratings"), client.get("/metrics")):
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
        assert "server" not in answer.headers


def test_scripts_of_other_sites_are_let_in_only_when_named(rating_client: Client) -> None:
    asked = {"origin": "https://shop.example", "access-control-request-method": "POST"}
    name = "access-control-allow-origin"
    assert name not in rating_client().options("/v1/ratings", headers=asked).headers
    client = rating_client(rest_cors_origins=["https://shop.example"])
    assert client.options("/v1/ratings", headers=asked).headers[name] == "https://shop.example"
    asked["origin"] = "https://other.example"
    assert name not in client.options("/v1/ratings", headers=asked).headers


def test_a_client_over_its_rate_waits_and_others_do_not() -> None:
    clock = ManualClock()
    limit = RateLimit(10, clock)
    limit.take("a")
    limit.owe("a", 29)  # a request of 30 reviews is taken whole, and 20 are owed
    limit.take("b")
    with pytest.raises(Problem) as caught:
        limit.take("a")
    assert (caught.value.status, caught.value.headers["Retry-After"]) == (429, "2")
    clock.advance(2.01)
    limit.take("a")


def test_a_request_counts_by_its_reviews(rating_client: Client) -> None:
    client = rating_client(rest_rate_reviews=1, rest_deadline_s=60)
    found = [client.post("/v1/ratings", json={"reviews": ["good"] * 600}).status_code for _ in range(2)]
    assert found == [200, 429]


def test_a_thousand_hostile_bodies_end_in_4xx(rating_client: Client) -> None:
    client = rating_client(rest_max_reviews=50, rest_max_body_bytes=200_000)
    found: dict[int, int] = {}
    for body in hostile_bodies(1000):
        status = client.post("/v1/ratings", content=body, headers={"content-type": "application/json"}).status_code
        assert 400 <= status < 500, body[:200]
        found[status] = found.get(status, 0) + 1
    assert set(found) == {400, 413, 422}
    assert client.post("/v1/ratings", json=TEXT).status_code == 200


def hostile_bodies(count: int) -> Iterator[bytes]:
    """Yield bodies of which none is a review."""
    chance = random.Random(16)  # noqa: S311
    texts = [
        b"null", b"5", b"1e999", b"-0", b"true", b"[]", b"{}", b'""', b'" "', b'"\\u200b"', b'"a\\u0000b"', b"NaN",
        b'"\\ud800"', b'"\\udfff\\ud800"', b"[" * 5000, b'{"a":' * 5000, b"9" * 4400, b"Infinity", b'"\xff"',
        b'"' + b"x" * 20_001 + b'"', b'"' + b"y" * 300_000 + b'"', b"'good'",
    ]  # fmt: skip
    shapes = [
        b'{"text":%s}', b'{"content":%s}', b'{"reviews":[%s]}', b'{"reviews":["good",%s]}', b'{"reviews":%s}',
        b'[%s]', b'%s%s', b'{"reviews":[{"text":%s}]}', b'{"text":{"text":%s}}', b'{"text":"good","text":%s}',
        b'{"text":"good","review_id":"' + b"x" * 300 + b'%s"}', b'{"review_id":%s}', b'{"data":{"text":%s}}',
    ]  # fmt: skip
    for number in range(count):
        if number % 4 == 0:
            yield bytes(chance.randrange(256) for _ in range(chance.randrange(200)))
            continue
        shape, text = chance.choice(shapes), chance.choice(texts)
        body = shape.replace(b"%s", text)
        yield body if number % 3 else body[: chance.randrange(len(body))]
