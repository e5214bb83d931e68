"""The gate and the warm start in `train`, end to end on synthetic reviews."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.bundle import read_bundle
from tests.model.reviews import synthetic, write_csv
from trainer.__main__ import main
from trainer.errors import Exit

SMALL = ["--units", "8", "--embedding", "8", "--batch-rows", "32", "--learning-rate", "0.02", "--epochs", "8"]
SMALL += ["--wide-pairs", "1024", "--no-floors", "--gate-slower", "20"]


def _channels(registry: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((registry / "channels.json").read_bytes())
    return found


def _versions(registry: Path) -> list[str]:
    return sorted(path.parent.name for path in registry.glob("*/manifest.json"))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good version that `stable` points at, on enough reviews for the gate to see a difference."""
    folder = tmp_path_factory.mktemp("gate")
    data = write_csv(folder / "reviews.csv", synthetic(1500))
    flags = ["--registry", str(folder / "models"), "--message", "the first"]
    assert main(["train", "--data", str(data), *SMALL, *flags]) == Exit.OK
    return folder


def test_worse_version_is_published_and_the_channel_moves_only_by_force(
    published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = published / "models"
    before = _channels(registry)
    # One epoch with a tiny step and no linear part is worse on every figure.
    poor = ["--no-wide", "--no-vectors", "--epochs", "1", "--learning-rate", "1e-6", "--batch-rows", "512"]
    argv = ["train", "--data", str(published / "reviews.csv"), "--registry", str(registry), *SMALL, *poor]
    assert main([*argv, "--publish"]) == Exit.GATE
    caught = capsys.readouterr()
    assert "FAILS" in caught.out
    assert "accuracy: " in caught.err
    assert "stable did not move" in caught.err
    assert _channels(registry) == before
    assert len(_versions(registry)) == 2, "it is published"
    manifest = read_bundle(registry / _versions(registry)[1]).manifest
    assert any(not row["passed"] for row in manifest.training["gate"])
    assert main([*argv, "--no-publish"]) == Exit.GATE
    assert len(_versions(registry)) == 2
    assert main([*argv, "--seed", "0", "--force", "--message", "to see it fail"]) == Exit.OK
    assert _channels(registry)["stable"] == _versions(registry)[-1]
    capsys.readouterr()
    assert main(["history", "--registry", str(registry), "--json"]) == Exit.OK
    last, first = map(json.loads, capsys.readouterr().out.splitlines())
    assert (last["action"], last["forced"], last["message"]) == ("train", True, "to see it fail")
    assert any(line.startswith("accuracy: ") for line in last["refusals"])
    assert (first["forced"], first["refusals"], first["message"]) == (False, [], "the first")
    assert main(["rollback", "--registry", str(registry)]) == Exit.OK
    assert _channels(registry) == before


def test_warm_start_has_the_weights_and_words_of_the_version(
    published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = published / "models"
    stable = _channels(registry)["stable"]
    more = [(f"{text} splendid", label) for text, label in synthetic(300, seed=9)]
    data = write_csv(published / "more.csv", [*synthetic(1500), *more])
    warm = ["train", "--data", str(data), "--registry", str(registry), "--warm-start", "stable"]
    warm += ["--wide-pairs", "1024", "--no-floors", "--gate-slower", "20", "--channel", "candidate"]
    assert main([*warm, "--epochs", "1", "--learning-rate", "1e-9"]) == Exit.OK
    said = capsys.readouterr().err
    loss = float(said.split("validation ")[-1].split(",")[0])
    assert loss < 0.6, "with a step this small the weights are those of the version"
    before = read_bundle(registry / stable)
    after = read_bundle(registry / _channels(registry)["candidate"])
    assert after.manifest.training["started_from"] == stable
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
        (["--labels", "1", "--labels", "5", "--max-bad-share", "1"], Exit.USAGE, "the data has the scores 1, 5"),
        (["--warm-start", "nobody"], Exit.REGISTRY, "nobody is not in the registry"),
    ],
)
def test_warm_start_refuses_other_shapes_and_splits(
    published: Path, flags: list[str], code: Exit, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["train", "--data", str(published / "reviews.csv"), "--registry", str(published / "models")]
    assert main([*argv, "--warm-start", "stable", *flags]) == code
    assert said in capsys.readouterr().err


def test_altered_weights_are_refused(published: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry = published / "models"
    (file,) = registry.glob(f"weights/{_channels(registry)['stable']}.npz")
    content = file.read_bytes()
    try:
        for altered, said in ((content[:-1] + b"x", "sha256 differs"), (None, "has no training weights")):
            file.unlink(missing_ok=True)
            if altered is not None:
                file.write_bytes(altered)
            argv = ["train", "--data", str(published / "reviews.csv"), "--registry", str(registry)]
            assert main([*argv, "--warm-start", "stable"]) == Exit.REGISTRY
            assert said in capsys.readouterr().err
    finally:
        file.write_bytes(content)
