"""`python -m deploy.grafana --write`: the dashboards' JSON and the runbook's table, from the code.

Without `--write` it says which files differ, and exits with 1.
"""

import argparse
import sys
from pathlib import Path

from deploy.grafana.boards import BOARDS
from deploy.grafana.links import with_table
from deploy.grafana.render import render

DEPLOY = Path(__file__).parents[1]
FOLDER = DEPLOY / "grafana" / "dashboards"
RUNBOOK = DEPLOY / "RUNBOOK.md"


def files() -> dict[Path, str]:
    """Return every file that is written from the code, and its text."""
    boards = {
        FOLDER / f"{name}.json": render(board, [other for other in BOARDS.values() if other is not board])
        for name, board in BOARDS.items()
    }
    return boards | {RUNBOOK: with_table(RUNBOOK.read_text(encoding="utf-8"))}


def main(argv: list[str] | None = None) -> int:
    """Write the files, or compare them."""
    parser = argparse.ArgumentParser(prog="python -m deploy.grafana", description=__doc__)
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args(argv).write
    made = files()
    stale = [path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if write:
            path.write_text(made[path], encoding="utf-8")
        print(f"{path.relative_to(DEPLOY)}: {'written' if write else 'differs from the code'}")
    return 0 if write else bool(stale)


if __name__ == "__main__":
    sys.exit(main())
