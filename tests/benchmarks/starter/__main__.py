"""`python -m tests.benchmarks.starter`: train the starter, measure it, write `schemas/starter/`.

`--figures` measures the one that is there and writes its card only. Needs the data sets in `../shared/data`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from schemas.starter import CARD_FILE, STARTER_FILE, starter_bundle, starter_bytes
from tests.benchmarks.model_quality.cases import DATA
from tests.benchmarks.report import spliced
from tests.benchmarks.starter.figures import BEGIN, END, measure, text
from tests.benchmarks.starter.recipe import train


def main() -> int:
    """Run the command and return the exit code; 2 without data."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.starter", description=__doc__)
    parser.add_argument("--figures", action="store_true", help="train nothing: measure the starter that is there")
    parser.add_argument("--out", type=Path, default=STARTER_FILE, help="the file to write, or to measure")
    given = parser.parse_args()
    if not DATA.is_dir():
        sys.stderr.write(f"{DATA}: no such folder\n")
        return 2
    if not given.figures:
        given.out.write_bytes(starter_bytes(train()))
    bundle = starter_bundle(given.out)
    found = text(bundle, measure(bundle))
    sys.stdout.write(f"{found}\n\n{given.out.stat().st_size / 1e6:.2f} MB\n")
    if given.out == STARTER_FILE:
        card = CARD_FILE.read_text(encoding="utf-8")
        CARD_FILE.write_text(spliced(card, f"\n{found}\n", BEGIN, END), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
