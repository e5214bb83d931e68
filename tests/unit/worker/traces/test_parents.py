"""Which trace a review's producer began, as its header says."""

from __future__ import annotations

import pytest

from tests.doubles import make_record
from worker.traces.parents import Parent, parent_of, parents

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def header(flags: str = "01", *, version: str = "00", trace: str = TRACE, span: str = SPAN) -> bytes:
    return f"{version}-{trace}-{span}-{flags}".encode()


@pytest.mark.parametrize(
    ("value", "sampled"),
    [(header("01"), True), (header("00"), False), (header("03"), True), (header("01", version="cc") + b"-more", True)],
)
def test_a_trace_context_is_read(value: bytes, sampled: bool) -> None:
    assert parent_of(value) == Parent(int(TRACE, 16), int(SPAN, 16), sampled)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"00-1",
        header()[:-1],
        header(version="ff"),
        header(trace="0" * 32),
        header(span="0" * 16),
        header(trace=TRACE.upper()),
        header("0g"),
        b"\xff" * 55,
    ],
)
def test_what_is_no_trace_context_is_none(value: bytes | None) -> None:
    assert parent_of(value) is None


def test_records_without_one_have_none_and_unsampled_ones_are_left_out_when_asked() -> None:
    records = [
        make_record("a"),
        make_record("b", headers=[("x", b"1"), ("traceparent", header("01"))]),
        make_record("c", headers=[("traceparent", header("00"))]),
        make_record("d", headers=[("traceparent", None), ("traceparent", b"odd")]),
    ]
    assert [found.sampled for found in parents(records, sampled_only=False)] == [True, False]
    assert [found.sampled for found in parents(records, sampled_only=True)] == [True]
