"""The gate and the warm start in `train`, end to end on synthetic reviews."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from schemas.bundle import read_bundle
from tests.model.conftest import channels, train
from tests.model.reviews import synthetic
from trainer.__main__ import main
from trainer.errors import Exit


def _versions(folder: Path) -> list[str]:
    return sorted(path.parent.name for path in folder.glob("models/*/manifest.json"))


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    """A copy, which the test may change."""
    return shutil.copytree(published, tmp_path / "copy")


def test_worse_version_is_published_and_the_channel_moves_only_by_force(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = channels(folder)
    # One epoch with a tiny step and no linear part is worse on every figure.
    poor = ["--no-baselines", "--no-wide", "--no-vectors", "--epochs", "1", "--learning-rate", "1e-6"]
    assert train(folder, *poor, "--no-publish") == Exit.GATE
    assert len(_versions(folder)) == 1
    capsys.readouterr()
    assert train(folder, *poor) == Exit.GATE
    caught = capsys.readouterr()
    assert "FAILS" in caught.out
    assert "accuracy: " in caught.err
    assert "stable did not move" in caught.err
    assert channels(folder) == before
    assert len(_versions(folder)) == 2, "it is published"
    version = folder / "models" / _versions(folder)[1]
    assert any(not row["passed"] for row in read_bundle(version).manifest.training["gate"])
    assert "serving until now" in (version / "report.html").read_text(encoding="utf-8")
    assert train(folder, *poor, "--force", "--message", "to see it fail") == Exit.OK
    assert channels(folder)["stable"] == _versions(folder)[-1]
    capsys.readouterr()
    assert main(["history", "--registry", str(folder / "models"), "--json"]) == Exit.OK
    last, first = map(json.loads, capsys.readouterr().out.splitlines())
    assert (last["action"], last["forced"], last["message"]) == ("train", True, "to see it fail")
    assert any(line.startswith("accuracy: ") for line in last["refusals"])
    assert (first["forced"], first["refusals"], first["message"]) == (False, [], "the first")
    assert main(["rollback", "--registry", str(folder / "models")]) == Exit.OK
    assert channels(folder) == before


def test_warm_start_has_the_weights_and_words_of_the_version(folder: Path) -> None:
    registry = folder / "models"
    before = read_bundle(registry / channels(folder)["stable"])
    with (folder / "reviews.csv").open("a", encoding="utf-8") as file:
        file.writelines(f"{text} splendid,{label}\n" for text, label in synthetic(100, seed=9))
    warm = ["train", "--data", str(folder / "reviews.csv"), "--registry", str(registry), "--warm-start", "stable"]
    warm += ["--no-baselines", "--gate-slower", "20", "--channel", "candidate", "--force"]
    assert main([*warm, "--wide-pairs", "1024", "--epochs", "1", "--learning-rate", "1e-9"]) == Exit.OK
    after = read_bundle(registry / channels(folder)["candidate"])
    lowest, now = (min(epoch["validation_loss"] for epoch in of.manifest.training["epochs"]) for of in (before, after))
    assert now < lowest + 0.2, "with a step this small the weights are those of the version"
    assert after.manifest.training["started_from"] == before.version
    assert after.manifest.training["settings"]["units"] == 8, "the shape is the version's"
    known = {surface: at for surface, at in after.table.items() if surface in before.table}
    assert known == before.table, "words keep their ids"
    assert after.table["splendid"] > max(before.table.values())
    assert "weights" not in after.manifest.files, "workers do not read them"


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--units", "16"], Exit.USAGE, "--units 16: "),
        (["--seed", "3"], Exit.USAGE, "--seed 3: "),
        (["--labels", "1", "--labels", "5", "--max-bad-share", "1"], Exit.USAGE, "the data has the labels 1, 5"),
        (["--warm-start", "nobody"], Exit.REGISTRY, "nobody is not in the registry"),
    ],
)
def test_warm_start_refuses_other_shapes_and_splits(
    published: Path, flags: list[str], code: Exit, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["train", "--data", str(published / "reviews.csv"), "--registry", str(published / "models")]
    assert main([*argv, "--warm-start", "stable", *flags]) == code
    assert said in capsys.readouterr().err


def test_altered_weights_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file,) = folder.glob("models/weights/*.npz")
    warm = ["train", "--data", str(folder / "reviews.csv"), "--registry", str(folder / "models")]
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert main([*warm, "--warm-start", "stable"]) == Exit.REGISTRY
    assert "sha256 differs" in capsys.readouterr().err
    file.unlink()
    assert main([*warm, "--warm-start", "stable"]) == Exit.REGISTRY
    assert "has no training weights" in capsys.readouterr().err
