"""Headers that go from a review to its rating: by name, within bounds, never those that would describe the review."""

from __future__ import annotations

from schemas.dead_letter import OWN
from tests.doubles import make_rated, make_record
from worker.kafka.outgoing import OutgoingForm
from worker.settings import WorkerSettings

HEADERS = [("x-tenant", b"a"), ("traceparent", b"t"), ("baggage", b"k=v"), ("X-Tenant", b"b"), ("x-shop-id", b"7")]


def passed(headers: list[tuple[str, bytes]], patterns: str = "") -> list[tuple[str, bytes]]:
    settings = WorkerSettings(_env_file=None, pass_headers=patterns)
    published = OutgoingForm(settings).of(make_rated(record=make_record(headers=headers)))
    (kind, *others) = published.headers
    assert kind == ("content-type", b"application/json")
    return others


def test_trace_context_and_baggage_are_passed_always_and_others_by_pattern() -> None:
    always = [("traceparent", b"t"), ("baggage", b"k=v")]
    assert passed(HEADERS) == always
    assert passed(HEADERS, "x-tenant") == [*always, ("x-tenant", b"a")]
    assert passed(HEADERS, "x-t*, x-shop-?d") == [*always, ("x-tenant", b"a"), ("x-shop-id", b"7")]


def test_headers_that_describe_the_review_are_not_passed_whatever_the_pattern() -> None:
    assert passed([("Content-Type", b"text/plain"), (f"{OWN}attempts", b"1"), ("x", b"y")], "*") == [("x", b"y")]


def test_headers_that_would_make_a_rating_too_large_are_left_out() -> None:
    small = [("traceparent", b"t"), ("x", b"y")]
    assert passed([*small, ("baggage", b"b" * 9000)], "*") == small
    assert passed([*small, ("tracestate", b"s" * 5000)], "*") == [("x", b"y")]
    assert passed([*small, ("y", b"y" * 17_000)], "*") == small[:1]
