"""One version trained on synthetic reviews, for all tests of a session that only read it, and how to train another.

The tests import what needs TensorFlow inside, because every process of a run collects every file.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.model.reviews import synthetic, write_csv
from trainer.__main__ import main
from trainer.errors import Exit

SMALL = ["--units", "8", "--embedding", "8", "--batch-rows", "32", "--learning-rate", "0.02", "--epochs", "4"]
SMALL += ["--wide-pairs", "1024", "--gate-slower", "20"]


def train(folder: Path, *flags: str) -> int:
    """Train a small model on `reviews.csv` of a folder into its registry `models`; return the exit code."""
    data = ["--data", str(folder / "reviews.csv"), "--registry", str(folder / "models")]
    return main(["train", *data, *SMALL, *flags])


def channels(folder: Path) -> dict[str, str]:
    """Return the channels of a folder's registry."""
    found: dict[str, str] = json.loads((folder / "models" / "channels.json").read_bytes())
    return found


def write_reviews(folder: Path) -> None:
    """Write `reviews.csv`. Every ninth label is wrong, so that the sides of the split have different figures."""
    rows = [(text, label % 5 + 1 if number % 9 == 0 else label) for number, (text, label) in enumerate(synthetic(600))]
    write_csv(folder / "reviews.csv", rows)


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `reviews.csv`, the `held_out.csv` of a split, and a registry whose `stable` learned from it."""
    folder = tmp_path_factory.mktemp("published")
    write_reviews(folder)
    assert train(folder, "--test-out", str(folder / "held_out.csv"), "--message", "the first") == Exit.OK
    return folder
