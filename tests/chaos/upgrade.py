"""An older release and this one, side by side and one after the other: the upgrade of deploy/RUNBOOK.md, and back.

Owns the older release's code: a commit of this repository in a folder of its own, run with this environment's packages.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.chaos.audit import Verdict
from tests.chaos.cases.play import Case
from tests.chaos.reviews import mixed
from tests.chaos.scene import Scene
from tests.chaos.workers import Worker
from tests.conftest import ROOT, TOY_REGISTRY, TOY_VERSION
from tests.fixtures.bundles import SECOND

OLDEST: Final = "9642734"  # there is no tag yet; the Redis hashes and topics of this commit are what old data is
NEWER: Final[dict[str, Any]] = {}  # settings of this release's workers only
_SLICE: Final = 1_500
_SLOTS: Final = ("named", "unnamed")  # with WORKER_INSTANCE_ID, and without


def upgrade_case(ref: str = OLDEST) -> Case:
    """Return the case for the release at a git reference."""

    def upgrade(scene: Scene) -> Verdict:
        """Two workers of an older release are replaced one by one by two of this one, which load a bundle of their own,
        and then by two of the older release again; under load, the first of each two by SIGTERM, the other by kill -9.
        """
        del scene.settings["redis_form"]  # form 1, which the older release reads, is the default
        older = _checkout(ref, scene.folder / "older")
        _publish(older, scene.registry.root)
        scene.settings.pop("redis_form", None)  # its default is what an older release reads
        workers = [_start(scene, slot, older) for slot in _SLOTS]
        for root in (ROOT, older):
            for number, slot in enumerate(_SLOTS):
                _under_load(scene)
                if number == 0:
                    workers[number].ready().drain()
                    scene.count_fault()
                else:
                    scene.kill(workers[number])
                workers[number] = _start(scene, slot, root)
                _under_load(scene)
            scene.settle()
            if root == ROOT:
                for version in (SECOND, TOY_VERSION):  # back before the older release comes back
                    scene.publish_bundle(version)
                    _rated_by(scene, workers, version)
        return scene.finish()

    return Case(upgrade, nightly=True)


def _checkout(ref: str, folder: Path) -> Path:
    """Lay the files of a commit into a folder."""
    folder.mkdir()
    packed = folder.with_suffix(".tar")
    try:
        git = ("git", "-C", str(ROOT), "archive", "--output", str(packed), ref)
        subprocess.run(git, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise AssertionError(f"there is no release {ref}: {error.stderr.strip()}") from error
    subprocess.run(("tar", "-xf", str(packed), "-C", str(folder)), check=True)
    tell = (sys.executable, "-c", "import worker; print(worker.__file__)")
    imported = subprocess.run(tell, cwd=folder, check=True, capture_output=True, text=True).stdout
    assert Path(imported).is_relative_to(folder), f"the code of {ref} is not what runs, but {imported}"
    return folder


def _publish(root: Path, registry: Path) -> None:
    """Put a release's own bundle in the place of this one's."""
    shutil.rmtree(registry / TOY_VERSION)
    shutil.copytree(root / TOY_REGISTRY.relative_to(ROOT) / TOY_VERSION, registry / TOY_VERSION)


def _start(scene: Scene, slot: str, root: Path) -> Worker:
    scene.root = root
    settings: dict[str, Any] = ({"instance_id": slot} if slot == "named" else {}) | (NEWER if root == ROOT else {})
    return scene.start(f"{root.name}-{slot}", **settings)


def _under_load(scene: Scene) -> None:
    before = scene.published()
    scene.send(mixed(scene.sent, _SLICE, scene.random))
    scene.wait_output(before + 1)


def _rated_by(scene: Scene, workers: list[Worker], version: str) -> None:
    """Wait until every worker rates with a version."""
    for worker in workers:
        worker.until(partial(worker.values, "starstream_model_info", model_version=version), f"it serves {version}")
    _under_load(scene)
