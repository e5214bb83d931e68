"""`python -m tests.benchmarks.warm_start`: a warm start against a cold one on app reviews, written to warm_start.md.

A version is trained on the first 60% of the reviews, in a fixed random order; then a version on all of them, once from
nothing and once from the first. Both are evaluated on the same held-out texts, which none of the three was trained on.
The number of passes does not depend on the machine's load.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.benchmarks.model_quality.cases import DATA
from tests.benchmarks.model_quality.runs import train
from tests.benchmarks.model_quality.table import between

PAGE = Path(__file__).with_suffix(".md")
EARLIER = 0.6  # share of the reviews that the first version is trained on
FIGURES = ("accuracy", "macro_f1", "mae", "qwk", "nll")


def main() -> int:
    """Train, print the table, write it; exit code 2 without the data."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.warm_start", description=__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--print-only", action="store_true", help="do not write warm_start.md")
    given = parser.parse_args()
    everything = DATA / "app_reviews.csv"
    if not everything.is_file():
        sys.stderr.write(f"{everything}: no such file\n")
        return 2
    found: dict[str, list[dict[str, float]]] = {"from nothing": [], "from the earlier version": []}
    for seed in given.seeds:
        with tempfile.TemporaryDirectory(prefix="warm-start-") as folder:
            earlier, registry = _first_part(everything, Path(folder) / "earlier.csv"), Path(folder) / "models"
            _train(registry, "--data", str(earlier), "--seed", str(seed))
            again = ("--data", str(everything), "--channel", "none")
            found["from nothing"].append(_train(registry, *again, "--seed", str(seed)))
            found["from the earlier version"].append(_train(registry, *again, "--warm-start", "stable"))
    table = _table(found, given.seeds)
    sys.stdout.write(table)
    if not given.print_only:
        PAGE.write_text(between(PAGE.read_text(encoding="utf-8"), table), encoding="utf-8")
    return 0


def _first_part(everything: Path, path: Path) -> Path:
    with everything.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    random.Random(0).shuffle(rows)  # noqa: S311 - not a secret
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows[: round(EARLIER * len(rows))]])
    return path


def _train(registry: Path, *flags: str) -> dict[str, float]:
    manifest, cpu_s = train(registry, flags)
    epochs = manifest["training"]["epochs"]
    sys.stderr.write(f"{' '.join(flags[-2:])}: {manifest['metrics']}\n")
    return {
        "passes": len(epochs),
        "validation loss": min(epoch["validation_loss"] for epoch in epochs),
        **{name: manifest["metrics"][name] for name in FIGURES},
        "CPU s": cpu_s,
    }


def _table(found: dict[str, list[dict[str, float]]], seeds: Sequence[int]) -> str:
    names = ["passes", "validation loss", *FIGURES, "CPU s"]
    lines = [f"| trained on all reviews | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for start, runs in found.items():
        lines.append(f"| {start} | {' | '.join(_cell(name, [run[name] for run in runs]) for name in names)} |")
    shown = ", ".join(map(str, seeds))
    return (
        "\n".join(lines)
        + f"\n\nSeeds {shown}; mean ± standard deviation; each seed has its own split and earlier version.\n"
    )


def _cell(name: str, values: Sequence[float]) -> str:
    digits = {"passes": 1, "CPU s": 0}.get(name, 3)
    return f"{np.mean(values):.{digits}f} ± {np.std(values):.{digits}f}"


if __name__ == "__main__":
    sys.exit(main())
