"""`python -m tests.benchmarks.model_quality`: measure what is not yet measured, print it all, write it to the README.

Each case is a training run of minutes; each is remembered when it is done, so Ctrl-C loses the one that is running.
"""

from __future__ import annotations

import argparse
import sys

from tests.benchmarks.model_quality.cases import DATA, QUESTIONS, ROOT, SETS, Case, cases
from tests.benchmarks.model_quality.runs import Found, kept, run
from tests.benchmarks.model_quality.table import between, page

README = ROOT / "trainer" / "README.md"


def main() -> int:
    """Run what the flags ask for and return the exit code: 0, 1 when a case failed, 130 when interrupted."""
    given = _parse()
    if not DATA.is_dir():
        sys.stderr.write(f"{DATA}: no data here\n")
        return 2
    failed = interrupted = False
    wanted = cases(given.sets, given.only, given.seeds)
    for number, case in enumerate(wanted, start=1):
        if given.print_only or kept(case) is not None:
            continue
        _say(f"[{number}/{len(wanted)}] {case.title}")
        try:
            run(case, _say)
        except RuntimeError as error:
            _say(str(error))
            failed = True
        except KeyboardInterrupt:
            interrupted = True
            break
    # Everything there is, not only what was asked for: the README's table never loses a row to a narrower run.
    found = _remembered(cases(list(SETS), list(QUESTIONS), list(range(10))))
    if found:
        table = page(found)
        sys.stdout.write(table)
        README.write_text(between(README.read_text(encoding="utf-8"), table), encoding="utf-8")
    return 130 if interrupted else int(failed)


def _remembered(wanted: list[Case]) -> dict[Case, Found]:
    return {case: found for case in wanted if (found := kept(case)) is not None}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.model_quality", description=__doc__)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="each below 10")
    parser.add_argument("--only", nargs="+", choices=list(QUESTIONS), default=list(QUESTIONS), help="questions")
    parser.add_argument("--print-only", action="store_true", help="run nothing; print what is remembered")
    return parser.parse_args()


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
