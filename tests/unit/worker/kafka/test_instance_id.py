"""The name of a process: a free one is claimed, a configured one is used."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fixtures.flags import settings_of
from worker.errors import SettingsError
from worker.kafka.instance_id import InstanceId
from worker.settings import WorkerSettings

pytestmark = pytest.mark.usefixtures("clean_environment")


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def settings(*flags: str) -> WorkerSettings:
    return settings_of("--group-id", "a/group", *flags)


Claim = Callable[..., InstanceId]


@pytest.fixture
def claim() -> Iterator[Claim]:
    """Claims names as processes would, and releases them as the kernel does."""
    claimed: list[InstanceId] = []

    def claims(*flags: str) -> InstanceId:
        claimed.append(InstanceId(settings(*flags)))
        return claimed[-1]

    yield claims
    for instance_id in claimed:
        instance_id.close()


def number(instance_id: InstanceId) -> int:
    return int(instance_id.name.rpartition("-")[2])


def test_two_processes_never_have_the_same_name(claim: Claim) -> None:
    assert [number(claim()) for _ in range(3)] == [0, 1, 2]


def test_a_name_is_free_once_its_process_has_ended(claim: Claim) -> None:
    first, second = claim(), claim()
    first.close()
    assert claim().name == first.name
    assert number(second) == 1


def test_containers_with_one_host_name_have_different_names(
    claim: Claim, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each has a temporary folder of its own, and finds its name again after a restart."""
    first = claim()
    (tmp_path / "another").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "another"))
    second = claim()
    assert number(first) == number(second)
    assert first.name != second.name
    second.close()
    assert claim().name == second.name


def test_groups_do_not_share_names(claim: Claim) -> None:
    assert (number(claim()), number(claim("--group-id", "another"))) == (0, 0)


def test_a_configured_name_is_used_with_its_slot() -> None:
    given = settings("--instance-id", "pod-7", "--slot", "2")
    assert InstanceId(given).name == "pod-7-2"


def test_a_folder_that_cannot_be_written_names_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(SettingsError, match="WORKER_INSTANCE_ID: set it"):
        InstanceId(settings())
