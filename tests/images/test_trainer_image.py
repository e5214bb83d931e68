"""The trainer's image trains, unprivileged and read-only, and publishes a bundle."""

from __future__ import annotations

from pathlib import Path

from deploy.images.container import Container
from deploy.images.contents import configuration, parts
from tests import PATIENCE_S
from tests.conftest import ROOT


def test_trainer_image_trains_and_publishes(trainer_image: str, trainer_root: Path, tmp_path: Path) -> None:
    found = parts(trainer_root)
    print("\n".join(f"{part.megabytes:7.1f} MB  {part.name}" for part in found[:12]))
    config = configuration(trainer_image)
    models, data = tmp_path / "models", tmp_path / "data"
    for folder in (models, data):
        folder.mkdir()
        folder.chmod(0o777)
    rows = [
        f"{text} number {number},{stars}"
        for number in range(80)
        for text, stars in (("bad", 1), ("fine", 3), ("great", 5))
    ]
    (data / "reviews.csv").write_text("text,rating\n" + "\n".join(rows) + "\n", encoding="utf-8")
    mounts = {"/models": f"rw:{models}", "/cache": f"rw:{data}"}
    words = ["train", "--data", "/cache/reviews.csv", "--epochs", "1", "--normalise", "none"]
    log = tmp_path / "log"
    env = dict(line.split("=", 1) for line in config["Env"])
    command = [*config["Entrypoint"], *words]
    with Container(trainer_root, command, user=config["User"], env=env, mounts=mounts, log=log) as training:
        code = training.wait(4 * PATIENCE_S)
    assert code == 0, log.read_text(encoding="utf-8")[-4000:]
    assert (models / "channels.json").exists()
    assert ROOT.exists()
