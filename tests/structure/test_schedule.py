"""The schedule of the tests names files that exist, and every file that stops a broker is in it."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT
from tests.fixtures.schedule import FIRST, TOGETHER, Together


@pytest.mark.parametrize("name", sorted({*FIRST, *TOGETHER}))
def test_what_the_schedule_names_exists(name: str) -> None:
    assert (ROOT / name).is_dir() if name.endswith("/") else (ROOT / name).is_file()


def test_every_file_that_stops_a_broker_shares_one_with_others_or_starts_first() -> None:
    """Each process in which such a test runs starts a broker of its own, for 4 s of CPU."""
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("contract", "integration")
        for path in (ROOT / "tests" / folder).rglob("test_*.py")
        if "stoppable_kafka" in path.read_text(encoding="utf-8")
    }
    assert found <= {*FIRST, *TOGETHER}
    assert len(found) > 3


def test_files_of_one_room_are_one_unit_of_work_and_others_one_each() -> None:
    schedule = Together.__new__(Together)
    units = [
        schedule._split_scope(f"{file}::test_it")
        for file in ("tests/model/test_fit.py", "tests/model/test_train.py", "tests/deploy/test_release.py")
    ]
    assert units == ["TensorFlow", "TensorFlow", "tests/deploy/test_release.py"]
