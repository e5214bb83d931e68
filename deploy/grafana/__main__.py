"""`python -m deploy.grafana --write`: the dashboards' JSON and the runbook's table, from the code.

Without `--write` it says which files differ, and exits with 1.
"""

import sys
from pathlib import Path
from typing import Any

from deploy.grafana.boards import BOARDS
from deploy.grafana.links import with_table
from deploy.grafana.render import render
from schemas.command_line.options import Option
from schemas.command_line.page import Page
from schemas.command_line.program import Command
from schemas.command_line.program import run as run_program

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
    page = Page(
        "Compare the dashboards' JSON and the runbook's table with the code, or write them.",
        "  python -m deploy.grafana\n  python -m deploy.grafana --write",
        exit_codes="  0  done    1  a file differs from the code    2  wrong usage",
    )
    write = Option("--write", is_flag=True, help="write the files")
    return run_program(Command("python -m deploy.grafana", page, _run, [write]), argv)


def _run(own: dict[str, Any], _settings: dict[str, Any]) -> int:
    write = own["write"]
    made = files()
    stale = [path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if write:
            path.write_text(made[path], encoding="utf-8")
        print(f"{path.relative_to(DEPLOY)}: {'written' if write else 'differs from the code'}")
    return 0 if write else bool(stale)


if __name__ == "__main__":
    sys.exit(main())
