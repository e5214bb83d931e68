"""What a registry needs from its store: on a folder, on fsspec's in-memory store, and on a real S3 server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

import fsspec
import pytest

from schemas.bundle import BundleError
from schemas.channels import channels_bytes
from tests import PATIENCE_S
from tests.conftest import ROOT, TOY_REGISTRY, TOY_VERSION, serving
from tests.fixtures.s3 import BUCKET, LocalS3
from trainer.__main__ import main
from trainer.errors import Exit, RegistryError
from trainer.registry.history import Why, change_file, make_change
from trainer.registry.local_store import LocalFolder
from trainer.registry.object_store import ObjectStore
from trainer.registry.open import open_registry
from trainer.registry.registry import Registry, weights_file
from trainer.registry.store import Store
from worker.model.registry import fetch_bundle, resolve_version

OLD = "20260101T000000Z-00000000"
NEW = "20260102T000000Z-11111111"
FILES = {"model.tflite": b"model", "report.html": b"", "manifest.json": b"{}"}
WHY = Why(action="promote", message="a test")
# The client keeps its connections open for as long as the process runs.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="session")
def s3() -> Iterator[LocalS3]:
    with serving(LocalS3()) as server:
        server.make_bucket()
        yield server


@pytest.fixture
def s3_location(s3: LocalS3, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    s3.use(monkeypatch)
    return f"s3://{BUCKET}/{abs(hash(request.node.name))}/models"


@pytest.fixture(params=["folder", "memory", "s3"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "models")
    if request.param == "memory":
        return f"memory://{tmp_path}/models"
    return str(request.getfixturevalue("s3_location"))


# Those that several processes can open.
on_shared_stores = pytest.mark.parametrize("location", ["folder", "s3"], indirect=True)


@pytest.fixture
def registry(location: str) -> Registry:
    found = open_registry(location)
    assert found.versions() == []
    assert found.channels() == {}
    return found


def test_published_versions_are_complete_and_channels_point_at_them(registry: Registry, location: str) -> None:
    registry.publish(OLD, FILES, b"weights")
    registry.point("stable", OLD, WHY)
    registry.publish(NEW, FILES)
    registry.point("candidate", NEW, WHY)
    again = open_registry(location)
    assert again.versions() == [OLD, NEW]
    assert again.channels() == {"stable": OLD, "candidate": NEW}
    assert (again.weights(OLD), again.weights(NEW)) == (b"weights", None)
    with again.folder(OLD) as folder:
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    with pytest.raises(RegistryError, match="in the registry already"):
        again.publish(OLD, {**FILES, "model.tflite": b"other"})


class Interrupted(dict[str, bytes]):
    """Files, and what happens when a publish comes to the manifest."""

    def __init__(self, happens: Callable[[], object]) -> None:
        super().__init__(FILES)
        self._happens = happens

    def __getitem__(self, name: str) -> bytes:
        if name == "manifest.json":
            self._happens()
        return super().__getitem__(name)

    def items(self) -> Iterator[tuple[str, bytes]]:  # type: ignore[override]
        return ((name, self[name]) for name in self)


def interrupt() -> NoReturn:
    raise KeyboardInterrupt


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_interrupted_publish_leaves_no_version(registry: Registry, location: str) -> None:
    registry.publish(OLD, FILES)
    with pytest.raises(KeyboardInterrupt):
        registry.publish(NEW, Interrupted(interrupt), b"weights")
    assert open_registry(location).versions() == [OLD]
    assert registry.weights(NEW) is None
    registry.publish(NEW, {**FILES, "model.tflite": b"other"})
    assert registry.versions() == [OLD, NEW]


PROGRAM = """
import sys
from trainer.errors import ConflictError
from trainer.registry.history import Why
from trainer.registry.open import open_registry
registry = open_registry(sys.argv[1])
registry.channels()
print("ready", flush=True)
sys.stdin.readline()
"""
MOVE = """
for number in range(6):
    registry.point(f"{sys.argv[2]}{number}", sys.argv[3], Why(action="promote"))
"""
PUBLISH = """
from tests.contract.test_registry_stores import NEW, Interrupted, kill
registry.publish(NEW, Interrupted(kill), b"weights")
"""
DECIDE = """
from trainer.publish.channel import move
try:
    move(registry, "stable", sys.argv[2], Why(action="promote"), sys.argv[3])
    print("moved")
except ConflictError as error:
    print(error)
"""


def run_at_once(
    code: str, *arguments: tuple[str, ...], meanwhile: Callable[[], object] | None = None
) -> list[tuple[int, str]]:
    """Run a program once per set of arguments, all started at the same time; return exit codes and outputs."""
    command = [sys.executable, "-c", PROGRAM + code]
    children = [
        subprocess.Popen([*command, *argv], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for argv in arguments
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    while meanwhile and any(child.poll() is None for child in children):
        meanwhile()
    outputs = [child.communicate(timeout=PATIENCE_S)[0].strip() for child in children]
    return [(child.returncode, output) for child, output in zip(children, outputs, strict=True)]


@on_shared_stores
def test_killed_publish_leaves_no_version_and_its_files_are_pruned_later(
    registry: Registry, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.publish(OLD, FILES)
    assert run_at_once(PUBLISH, (location,)) == [(-9, "")]
    assert registry.versions() == [OLD]
    with pytest.raises(RegistryError, match="is not in the registry"):
        registry.point("stable", NEW, WHY)
    assert [name for name in registry.prunable(5) if "weights" not in name] == [], "the publish may still be running"
    monkeypatch.setattr("trainer.registry.registry.LEFTOVER_S", -60.0)
    leftovers = registry.prunable(5)
    assert len(leftovers) == 2
    assert weights_file(NEW) in leftovers
    assert all(registry.remove(name) for name in leftovers)
    assert registry.prunable(5) == []
    registry.publish(NEW, FILES)
    assert registry.versions() == [OLD, NEW]


@on_shared_stores
def test_concurrent_publishers_lose_no_channel_move_and_readers_see_whole_files(
    registry: Registry, location: str
) -> None:
    registry.publish(OLD, FILES)
    registry.publish(NEW, FILES)

    def read() -> None:
        assert set(registry.channels().values()) <= {OLD, NEW}

    movers = (("a", OLD), ("b", NEW), ("c", OLD))
    done = run_at_once(MOVE, *((location, *mover) for mover in movers), meanwhile=read)
    assert done == [(0, "")] * 3
    changes = registry.history()
    assert [change.number for change in changes] == list(range(1, 19))
    assert len(registry.channels()) == 18
    assert registry.channels() == changes[-1].after
    for before, after in pairwise(changes):
        assert after.before == before.after, "each change starts from the result of the one before"


@on_shared_stores
def test_only_one_of_several_publishers_moves_the_channel_they_all_expected(registry: Registry, location: str) -> None:
    versions = [f"2026010{day}T000000Z-0000000{day}" for day in range(2, 6)]
    for version in (OLD, *versions):
        registry.publish(version, FILES)
    registry.point("stable", OLD, WHY)
    outputs = [output for _, output in run_at_once(DECIDE, *((location, version, OLD) for version in versions))]
    assert outputs.count("moved") == 1
    winner = registry.channels()["stable"]
    assert winner == versions[outputs.index("moved")]
    assert all(f"stable points at {winner}, no longer at {OLD}" in line for line in outputs if line != "moved")


def test_concurrent_threads_lose_no_channel_move(registry: Registry) -> None:
    registry.publish(OLD, FILES)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: registry.point(f"c{number}", OLD, WHY), range(8)))
    assert len(registry.channels()) == 8
    assert registry.channels() == registry.history()[-1].after


def store_of(location: str) -> Store:
    """Return the store of a location, for what an interrupted, slow or foreign writer does."""
    if "://" in location:
        return ObjectStore(*fsspec.core.url_to_fs(location))
    return LocalFolder(Path(location))


def test_interrupted_change_is_completed_by_the_next_change(registry: Registry, location: str) -> None:
    for version in (OLD, NEW):
        registry.publish(version, FILES)
    registry.point("stable", OLD, WHY)
    half = make_change(2, "stable", NEW, registry.channels(), WHY)
    assert store_of(location).create(half.file, half.content)
    assert registry.channels() == {"stable": OLD}
    registry.point("candidate", NEW, WHY)
    assert registry.channels() == {"stable": NEW, "candidate": NEW}
    assert [change.number for change in registry.history()] == [1, 2, 3]


def test_late_write_of_channels_json_does_not_undo_a_newer_change(registry: Registry, location: str) -> None:
    store = store_of(location)
    registry.publish(OLD, FILES)
    registry.publish(NEW, FILES)
    registry.point("stable", OLD, WHY)
    slow = store.read("channels.json")
    registry.point("stable", NEW, WHY)
    assert not store.swap("channels.json", slow.tag, channels_bytes({"stable": OLD}))
    assert registry.channels() == {"stable": NEW}
    assert not store.create(change_file(2), b"another")


def test_channels_json_edited_by_hand_is_respected(registry: Registry, location: str) -> None:
    store = store_of(location)
    for version in (OLD, NEW):
        registry.publish(version, FILES)
    registry.point("stable", OLD, WHY)
    tag = store.read("channels.json").tag
    assert store.swap("channels.json", tag, json.dumps({"stable": OLD, "mine": NEW}).encode())
    registry.point("candidate", NEW, WHY)
    assert registry.channels() == {"stable": OLD, "mine": NEW, "candidate": NEW}


def test_rollback_can_be_repeated_back_to_the_first_version(registry: Registry) -> None:
    third = "20260103T000000Z-22222222"
    for version in (OLD, NEW, third):
        registry.publish(version, FILES)
        registry.point("stable", version, Why(action="train"))
    back = Why(action="rollback", message="worse")
    assert registry.rollback("stable", back).version == NEW
    assert registry.rollback("stable", back).version == OLD
    with pytest.raises(RegistryError, match="the history has nothing before"):
        registry.rollback("stable", back)
    with pytest.raises(RegistryError, match="no channel other"):
        registry.rollback("other", back)
    last = registry.history()[-1]
    assert (last.action, last.message, last.version, last.before["stable"]) == ("rollback", "worse", OLD, NEW)
    assert "@" in last.by
    registry.point("stable", third, WHY)
    assert registry.rollback("stable", back).version == OLD


def test_prune_keeps_versions_that_a_channel_or_its_rollback_needs(registry: Registry) -> None:
    versions = [f"2026010{day}T000000Z-0000000{day}" for day in range(1, 8)]
    for version in versions:
        registry.publish(version, FILES, b"weights")
    registry.point("stable", versions[0], WHY)
    registry.point("stable", versions[2], WHY)
    registry.point("candidate", versions[3], WHY)
    found = registry.prunable(2)
    assert found == [versions[1], versions[4]]
    registry.point("candidate", versions[4], WHY)
    assert not registry.remove(versions[4]), "a channel points at it now"
    assert registry.remove(versions[1])
    assert registry.versions() == [versions[0], *versions[2:]]
    assert registry.weights(versions[1]) is None
    assert registry.weights(versions[2]) == b"weights"
    assert registry.rollback("stable", WHY).version == versions[0]


def test_the_worker_reads_what_was_published(location: str) -> None:
    toy = open_registry(str(TOY_REGISTRY))
    registry = open_registry(location)
    with toy.folder(TOY_VERSION) as folder:
        registry.publish(TOY_VERSION, {path.name: path.read_bytes() for path in sorted(folder.iterdir())}, b"weights")
    registry.point("stable", TOY_VERSION, WHY)
    assert resolve_version(location, "stable") == TOY_VERSION
    assert fetch_bundle(location, TOY_VERSION) == registry.bundle(TOY_VERSION) == toy.bundle(TOY_VERSION)
    assert registry.manifest(TOY_VERSION) == toy.manifest(TOY_VERSION)
    with pytest.raises(BundleError, match="is this a published bundle"):
        registry.manifest(NEW)


def test_commands_work_on_s3(s3_location: str, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*argv: str) -> str:
        assert main([*argv[:1], "--registry", s3_location, *argv[1:]]) == 0
        return capsys.readouterr().out

    run("publish", "--source", str(TOY_REGISTRY), "--version", "stable")
    run("promote", "--version", TOY_VERSION, "--message", "over the wire")
    assert TOY_VERSION in run("list")
    assert TOY_VERSION in run("show")
    assert "over the wire" in run("history", "--json")
    assert "replays 5 golden" in run("verify")
    assert "nothing to remove" in run("prune", "--keep", "1")


@pytest.mark.usefixtures("s3_location")
def test_refusal_by_the_store_is_a_registry_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for location in ("s3://no-such-bucket/models", str(tmp_path / "file")):
        with pytest.raises(RegistryError, match="nothing was published"):
            open_registry(location).publish(NEW, FILES)


@pytest.mark.usefixtures("s3_location")
def test_unreachable_server_ends_the_command_with_a_clear_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert main(["list", "--registry", "s3://nobody/models"]) == Exit.REGISTRY
    assert "AWS_*" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "message"),
    [("gs://bucket/models", "pip install gcsfs"), ("nonsense://x", "use a folder or s3://")],
)
def test_unsupported_url_says_how_to_fix_it(url: str, message: str) -> None:
    with pytest.raises(RegistryError, match=message):
        open_registry(url)
