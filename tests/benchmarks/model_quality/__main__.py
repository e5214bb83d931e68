"""`python -m tests.benchmarks.model_quality`: run the missing cases, print the tables, write them to README.md here.

Each case is a training run of minutes whose result is kept, so Ctrl-C loses only the case that is running.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.benchmarks.model_quality.cases import DATA, LABELS, QUESTIONS, SETS, Case, cases
from tests.benchmarks.model_quality.runs import Found, kept, run
from tests.benchmarks.model_quality.table import BEGIN, END, LABELS_BEGIN, LABELS_END, labels_page, page
from tests.benchmarks.report import spliced

README = Path(__file__).with_name("README.md")


def main() -> int:
    """Run the cases of the flags and return the exit code: 0, 1 when a case failed, 2 without data, 130 interrupted."""
    given = _parse()
    if not DATA.is_dir():
        sys.stderr.write(f"{DATA}: no such folder\n")
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
    # All kept results, not only those of the flags: a narrower run never removes a row from the README.
    everything = cases(list(SETS), list(QUESTIONS), list(range(10)))
    found: dict[Case, Found] = {case: result for case in everything if (result := kept(case)) is not None}
    of_labels = {case: result for case, result in found.items() if case.question == LABELS}
    of_stars = {case: result for case, result in found.items() if case.question != LABELS}
    for some, make, begin, end in ((of_stars, page, BEGIN, END), (of_labels, labels_page, LABELS_BEGIN, LABELS_END)):
        if some:
            table = make(some)
            sys.stdout.write(table)
            document = README.read_text(encoding="utf-8")
            README.write_text(spliced(document, f"\n{table}", begin, end), encoding="utf-8")
    return 130 if interrupted else int(failed)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.model_quality", description=__doc__)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="each below 10")
    parser.add_argument("--only", nargs="+", choices=list(QUESTIONS), default=list(QUESTIONS), help="questions")
    parser.add_argument("--print-only", action="store_true", help="run nothing; print the kept results")
    return parser.parse_args()


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
