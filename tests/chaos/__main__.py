"""`python -m tests.chaos`: runs the cases and prints the table; exits with 1 if a row is wrong.

Owns the command line. `make chaos` runs it; `--plant` shows that the suite can fail.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deploy.process import ServiceUnavailable
from tests.chaos import planted, table
from tests.chaos.cases import CASES
from tests.chaos.scene import open_stage
from tests.chaos.soak import soak_case
from tests.chaos.storm import SEED, storm_case
from tests.chaos.upgrade import upgrade_case


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen cases."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.partition(":")[2].strip())
    parser.add_argument("--case", action="append", choices=sorted(CASES), help="run only this case; may be repeated")
    parser.add_argument("--list", action="store_true", help="print what each case does, and exit")
    parser.add_argument("--full", action="store_true", help="larger counts: 50 kills in 50,000 reviews, and so on")
    parser.add_argument(
        "--plant", action="append", default=[], choices=sorted(planted.FAULTS), help="a fault that the suite must find"
    )
    clients = ("kafka-python", "confluent")
    parser.add_argument("--client", choices=clients, default=clients[0], help="the workers' WORKER_KAFKA_CLIENT")
    parser.add_argument("--keep", type=Path, help="keep logs and data in this empty folder")
    parser.add_argument(
        "--soak", type=int, metavar="N", help="run N reviews with a kill every few seconds instead of the cases"
    )
    parser.add_argument("--storm", type=float, metavar="S", help="random faults for S seconds instead of the cases")
    parser.add_argument("--seed", type=int, default=SEED, help="with --storm: which faults are drawn")
    parser.add_argument("--upgrade-from", metavar="REF", help="only an upgrade from this commit or tag, and back to it")
    parser.add_argument("--nightly", action="store_true", help="also the cases that CI leaves out, an upgrade, a storm")
    parser.add_argument("--data", type=Path, help="with --soak: CSV.gz of real reviews (column content)")
    chosen = parser.parse_args(arguments)
    if chosen.list:
        for case in CASES.values():
            print(f"{case.name}{' (nightly)' if case.nightly else ''}\n    {case.description}")
        return 0
    cases = [case for case in CASES.values() if chosen.nightly or not case.nightly]
    if chosen.case:
        cases = [CASES[name] for name in chosen.case]
    if chosen.nightly:
        cases += [upgrade_case(), storm_case()]
    if chosen.soak:
        cases = [soak_case(chosen.soak, chosen.data)]
    if chosen.upgrade_from:
        cases = [upgrade_case(chosen.upgrade_from)]
    if chosen.storm:
        cases = [storm_case(chosen.storm, chosen.seed)]
    rows = []
    try:
        with open_stage(plants=chosen.plant, full=chosen.full, client=chosen.client, keep=chosen.keep) as stage:
            print(table.HEAD, flush=True)
            for case in cases:
                rows.append(case.run(stage))
                print(table.line(rows[-1]), flush=True)
    except ServiceUnavailable as unavailable:
        print(unavailable, file=sys.stderr)
        return 69  # EX_UNAVAILABLE of sysexits.h, as `python -m deploy.kafka`
    print(table.total(rows))
    return 0 if all(row.passed for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
