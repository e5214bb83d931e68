"""`python -m tests.benchmarks.sizing`: what 1k, 100k and 10M reviews a second take, from measurements.

Reads results.json of `make bench`, measures reviews, ratings and Redis itself (seconds; needs redis-server, no Kafka),
prints the table, and writes it into deploy/README.md with --write. Exit code 2: something was not measured yet.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Final

from deploy.process import LocalServiceError
from tests.benchmarks import report
from tests.benchmarks.corpus import ROOT, CorpusError, read_corpus
from tests.benchmarks.sizing.assumptions import Assumptions
from tests.benchmarks.sizing.measured import SizingError, read_bench
from tests.benchmarks.sizing.memory import redis_costs, settings_of
from tests.benchmarks.sizing.records import sizes
from tests.benchmarks.sizing.table import BEGIN, END, page

README: Final = ROOT / "deploy" / "README.md"
_SHARES: Final = ("headroom", "shard_core")  # of something, so under 1
_MAY_BE_ZERO: Final = ("headroom", "redis_replicas", "ratings_readers")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and return the exit code: 0, or 2 when something it needs is missing."""
    parsed = _parsed(arguments)
    given = Assumptions(**{each.name: getattr(parsed, each.name) for each in fields(Assumptions)})
    try:
        bench = read_bench(parsed.results)
        corpus = read_corpus()
        found = sizes(corpus, parsed.ratings, settings_of("redis://localhost", cluster=False))
        table = page(bench, found, redis_costs(corpus, parsed.ratings), given)
    except (SizingError, CorpusError, LocalServiceError) as error:
        sys.stderr.write(f"sizing: {error}\n")
        return 2
    sys.stdout.write(table + "\n")
    if parsed.write:
        readme: Path = parsed.readme
        readme.write_text(report.spliced(readme.read_text(encoding="utf-8"), table, BEGIN, END), encoding="utf-8")
    return 0


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.sizing", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into deploy/README.md")
    parser.add_argument("--results", type=Path, default=report.JSON, metavar="FILE", help="of make bench")
    parser.add_argument("--readme", type=Path, default=README, metavar="FILE", help="to write into")
    parser.add_argument("--ratings", type=int, default=50_000, metavar="N", help="measured in each Redis (50,000)")
    group = parser.add_argument_group("assumptions")
    for each in fields(Assumptions):
        group.add_argument(
            f"--{each.name.replace('_', '-')}",
            type=float,
            default=each.default,
            metavar="X",
            help=f"{each.metadata['unit']} ({each.default:g}): {each.metadata['why']}".replace("%", "%%").strip(),
        )
    parsed = parser.parse_args(arguments)
    for each in fields(Assumptions):
        _require_sane(parser, each.name, getattr(parsed, each.name))
    if parsed.ratings < 1:
        parser.error("--ratings: at least 1")
    return parsed


def _require_sane(parser: argparse.ArgumentParser, name: str, value: float) -> None:
    flag = f"--{name.replace('_', '-')}"
    if value < 0 or (value == 0 and name not in _MAY_BE_ZERO):
        parser.error(f"{flag}: {value:g} is too little")
    if name in _SHARES and value >= 1 and not (name == "shard_core" and value == 1):
        parser.error(f"{flag}: {value:g} is a share, and too much")


if __name__ == "__main__":
    sys.exit(main())
