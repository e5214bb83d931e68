from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from trainer.errors import RegistryError
from trainer.registry.history import Why
from trainer.registry.local_store import LocalFolder
from trainer.registry.registry import Registry

OLD = "20260101T000000Z-00000000"
NEW = "20260102T000000Z-11111111"
WHY = Why(action="promote", message="a test")
FILES = {"model.tflite": b"model", "manifest.json": b"{}"}


class Interrupted(Mapping[str, bytes]):
    """Files of which the second never comes."""

    def __getitem__(self, name: str) -> bytes:
        return FILES[name]

    def __len__(self) -> int:
        return len(FILES)

    def __iter__(self) -> Iterator[str]:
        yield next(iter(FILES))
        raise KeyboardInterrupt


def _registry(root: Path) -> Registry:
    return Registry(LocalFolder(root))


def test_published_version_is_there_whole_and_channels_point(tmp_path: Path) -> None:
    registry = _registry(tmp_path / "models")
    assert registry.versions() == []
    assert registry.channels() == {}
    registry.publish(OLD, FILES)
    registry.point("stable", OLD, WHY)
    registry.publish(NEW, FILES)
    registry.point("candidate", NEW, WHY)
    assert registry.versions() == [OLD, NEW]
    assert registry.channels() == {"stable": OLD, "candidate": NEW}
    assert registry.resolve("stable") == registry.resolve(OLD) == OLD
    assert {path.name: path.read_bytes() for path in (tmp_path / "models" / OLD).iterdir()} == FILES
    registry.point("stable", NEW, WHY)
    assert registry.channels()["stable"] == NEW


def test_interrupted_publish_leaves_the_registry_as_it_was(tmp_path: Path) -> None:
    registry = _registry(tmp_path)
    registry.publish(OLD, FILES)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(KeyboardInterrupt):
        registry.publish(NEW, Interrupted())
    assert sorted(tmp_path.rglob("*")) == before


KILLED = """
import sys
from pathlib import Path
from tests.unit.trainer.registry.test_registry import FILES, NEW, Interrupted
from trainer.registry.local_store import LocalFolder
from trainer.registry.registry import Registry

class Stuck(Interrupted):
    def __iter__(self):
        yield next(iter(FILES))
        print("half", flush=True)
        sys.stdin.read()

Registry(LocalFolder(Path(sys.argv[1]))).publish(NEW, Stuck())
"""


def test_killed_publish_shows_no_version_and_the_next_one_works(tmp_path: Path) -> None:
    registry = _registry(tmp_path)
    registry.publish(OLD, FILES)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        cwd=Path(__file__).resolve().parents[4],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half\n"
        process.kill()
    assert registry.versions() == [OLD]
    registry.publish(NEW, FILES)
    assert registry.versions() == [OLD, NEW]


def test_channel_file_is_never_seen_half_written(tmp_path: Path) -> None:
    """Readers poll while two writers move a channel each; every read is whole and no move is lost."""
    registry = _registry(tmp_path)
    registry.publish(OLD, FILES)
    registry.publish(NEW, FILES)
    move = (
        "import sys; from pathlib import Path; from trainer.registry.history import Why\n"
        "from trainer.registry.local_store import LocalFolder; from trainer.registry.registry import Registry\n"
        "registry = Registry(LocalFolder(Path(sys.argv[1])))\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "for number in range(60): registry.point(f'{sys.argv[2]}{number}', sys.argv[3], Why(action='promote'))\n"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", move, str(tmp_path), name, version],
            cwd=Path(__file__).resolve().parents[4],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for name, version in (("a", OLD), ("b", NEW))
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"go\n")
        writer.stdin.flush()
    reads = 0
    while any(writer.poll() is None for writer in writers):
        assert set(registry.channels().values()) <= {OLD, NEW}
        reads += 1
    for writer in writers:
        writer.communicate()
    assert [writer.returncode for writer in writers] == [0, 0]
    assert reads > 10
    assert len(registry.channels()) == 120


def test_versions_are_not_overwritten(tmp_path: Path) -> None:
    registry = _registry(tmp_path)
    registry.publish(OLD, FILES)
    with pytest.raises(RegistryError, match="in the registry already"):
        registry.publish(OLD, {"other": b""})
    assert (tmp_path / OLD / "model.tflite").read_bytes() == b"model"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("beta", f"beta is not in the registry; there are: stable, {OLD}"),
        (NEW, f"{NEW} is not in the registry"),
        ("../escape", "is not in the registry"),
    ],
)
def test_unknown_name_lists_what_there_is(tmp_path: Path, name: str, reason: str) -> None:
    registry = _registry(tmp_path)
    registry.publish(OLD, FILES)
    registry.point("stable", OLD, WHY)
    with pytest.raises(RegistryError) as caught:
        registry.resolve(name)
    assert reason in str(caught.value)


def test_channel_that_points_nowhere_says_so(tmp_path: Path) -> None:
    registry = _registry(tmp_path)
    registry.publish(OLD, FILES)
    (tmp_path / "channels.json").write_text(f'{{"stable": "{NEW}"}}')
    with pytest.raises(RegistryError, match=f"stable points at {NEW}, which is not in the registry"):
        registry.resolve("stable")
    with pytest.raises(RegistryError, match="is not in the registry"):
        registry.point("candidate", NEW, WHY)


@pytest.mark.parametrize("content", ["{", "[]", '{"stable": 3}', "\ufffd"])
def test_damaged_channel_file_is_an_error_of_ours(tmp_path: Path, content: str) -> None:
    (tmp_path / "channels.json").write_text(content)
    with pytest.raises(RegistryError, match=r"channels\.json"):
        _registry(tmp_path).channels()


@pytest.mark.parametrize("channel", ["", "../up", "Stable", OLD, "a b"])
def test_channel_names_are_plain(tmp_path: Path, channel: str) -> None:
    registry = _registry(tmp_path)
    registry.publish(OLD, FILES)
    with pytest.raises(RegistryError, match="lower-case"):
        registry.point(channel, OLD, WHY)


def test_unwritable_registry_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RegistryError, match="nothing was published"):
        _registry(tmp_path / "file").publish(OLD, FILES)
