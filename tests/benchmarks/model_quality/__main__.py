"""`python -m tests.benchmarks.model_quality`: run the missing cases, print the tables, write them to README.md here.

Each case is a training run of minutes whose result is kept, so Ctrl-C loses only the case that is running.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.benchmarks.model_quality.cases import DATA, LABELS, LEFT_OUT, PEOPLE, QUESTIONS, SETS, Case, cases
from tests.benchmarks.model_quality.runs import Found, kept, run
from tests.benchmarks.model_quality.table import BEGIN, END, LABELS_BEGIN, LABELS_END, labels_page, page
from tests.benchmarks.model_quality.unseen_table import BEGIN as UNSEEN_BEGIN
from tests.benchmarks.model_quality.unseen_table import END as UNSEEN_END
from tests.benchmarks.model_quality.unseen_table import unseen_page
from tests.benchmarks.report import spliced

README = Path(__file__).with_name("README.md")
# What an earlier code gave is no answer of this one, so it does not stay in the page.
NOT_MEASURED = "Not measured with the present code yet.\n"
_UNSEEN = ("default", LEFT_OUT, PEOPLE)
_STARS = tuple(name for name in QUESTIONS if name not in {LABELS, LEFT_OUT, PEOPLE})
TABLES = (
    (_STARS, page, BEGIN, END),
    (_UNSEEN, unseen_page, UNSEEN_BEGIN, UNSEEN_END),
    ((LABELS,), labels_page, LABELS_BEGIN, LABELS_END),
)


def main() -> int:
    """Run the cases of the flags and return the exit code: 0, 1 when a case failed, 2 without data, 130 interrupted."""
    given = _parse()
    if not DATA.is_dir():
        sys.stderr.write(f"{DATA}: no such folder\n")
        return 2
    failed = interrupted = False
    wanted = cases(given.sets, given.only, given.seeds, given.rows)
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
    document = README.read_text(encoding="utf-8")
    for questions, make, begin, end in TABLES:
        some = {case: result for case, result in found.items() if case.question in questions}
        table = make(some) if some else NOT_MEASURED
        sys.stdout.write(table)
        document = spliced(document, f"\n{table}", begin, end)
    README.write_text(document, encoding="utf-8")
    return 130 if interrupted else int(failed)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.model_quality", description=__doc__)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="each below 10")
    parser.add_argument("--only", nargs="+", choices=list(QUESTIONS), default=list(QUESTIONS), help="questions")
    rows = [name for _, its_rows in QUESTIONS.values() for name in its_rows]
    parser.add_argument("--rows", nargs="+", choices=list(dict.fromkeys(rows)), default=[], help="default: all")
    parser.add_argument("--print-only", action="store_true", help="run nothing; print the kept results")
    return parser.parse_args()


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
