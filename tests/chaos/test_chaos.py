"""The cases as tests: `pytest tests/chaos`."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from deploy.process import ServiceUnavailable
from tests.chaos import table
from tests.chaos.cases import CASES
from tests.chaos.scene import Stage, open_stage
from tests.conftest import missing

FULL = bool(os.environ.get("CHAOS_FULL"))


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    try:
        with open_stage(full=FULL) as opened:
            yield opened
    except ServiceUnavailable as unavailable:
        missing(str(unavailable))


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if FULL or not case.nightly])
def test_every_review_is_settled_exactly_once(stage: Stage, name: str) -> None:
    row = CASES[name].run(stage)
    print(table.line(row))
    assert row.passed, table.line(row)
