"""Every duration and size takes what people write, as a flag and as a variable."""

from __future__ import annotations

import os

import pytest
from annotated_types import Ge, Gt, Le
from hypothesis import given
from hypothesis import strategies as st

from schemas.command_line.units import SECONDS_IN, read_bytes, read_seconds
from tests.fixtures.flags import settings_of
from worker.environment import PREFIX
from worker.errors import SettingsError
from worker.settings import WorkerSettings, read_settings

FIELDS = WorkerSettings.model_fields
DURATIONS = [name for name in FIELDS if name.endswith("_s")]
SIZES = [name for name in FIELDS if name.endswith("_bytes")]

pytestmark = pytest.mark.usefixtures("clean_environment")


def within(name: str, value: float) -> bool:
    limits = FIELDS[name].metadata
    return all(
        value >= limit.ge if isinstance(limit, Ge) else value > limit.gt if isinstance(limit, Gt) else value <= limit.le  # type: ignore[operator]
        for limit in limits
        if isinstance(limit, (Ge, Gt, Le))
    )


def outcome(name: str, written: str, *, flag: bool) -> object:
    """Return what a setting is given, or the line that refuses it or its clash with another setting."""
    try:
        if flag:
            return getattr(settings_of(f"--{name.replace('_', '-')}", written), name)
        os.environ[f"{PREFIX}{name.upper()}"] = written
        return getattr(read_settings(), name)
    except SettingsError as error:
        return str(error)
    finally:
        os.environ.pop(f"{PREFIX}{name.upper()}", None)


@given(
    name=st.sampled_from(DURATIONS),
    unit=st.sampled_from(sorted(SECONDS_IN)),
    number=st.integers(0, 2000),
    flag=st.booleans(),
)
def test_a_duration_with_a_unit_is_that_many_seconds(name: str, unit: str, number: int, flag: bool) -> None:
    seconds = float(number * SECONDS_IN[unit])
    found, plain = (outcome(name, written, flag=flag) for written in (f"{number}{unit}", f"{seconds:.3f}"))
    if isinstance(found, str):  # out of its limits, or in conflict with another setting: so is the plain number
        assert isinstance(plain, str)
        assert within(name, seconds) == ("takes a duration" not in found) or FIELDS[name].annotation is int
        return
    assert found == plain == seconds


@given(
    name=st.sampled_from(SIZES),
    unit=st.sampled_from(["B", "kB", "MB", "GB", "KiB", "MiB"]),
    number=st.integers(0, 2000),
    flag=st.booleans(),
)
def test_a_size_with_a_unit_is_that_many_bytes(name: str, unit: str, number: int, flag: bool) -> None:
    size = read_bytes(f"{number}{unit}")
    assert isinstance(size, int)
    found = outcome(name, f"{number}{unit}", flag=flag)
    assert found == size if within(name, size) else "takes a size" in str(found)


def test_every_setting_in_seconds_or_bytes_takes_a_unit() -> None:
    assert len(DURATIONS) >= 13
    for name in DURATIONS:
        assert any(getattr(mark, "func", None) is read_seconds for mark in FIELDS[name].metadata), name
    for name in SIZES:
        assert any(getattr(mark, "func", None) is read_bytes for mark in FIELDS[name].metadata), name
