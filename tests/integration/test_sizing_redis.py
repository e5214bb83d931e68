"""The sizing's own measurement on a real Redis: what is counted is what the worker stored."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from deploy.process import ServiceUnavailable
from tests.benchmarks.corpus import Corpus, CorpusError, read_corpus
from tests.benchmarks.sizing.__main__ import main
from tests.benchmarks.sizing.memory import redis_costs
from tests.benchmarks.sizing.table import BEGIN, END
from tests.conftest import missing

RESULTS = Path(__file__).parents[1] / "fixtures" / "bench_results.json"


def test_a_rating_costs_memory_and_time_in_both_kinds_of_redis() -> None:
    try:
        costs = redis_costs(Corpus("made up", ["love it", "crashes all day"]), 4_000)
    except ServiceUnavailable as unavailable:
        missing(str(unavailable))
    for cost in (costs.single, costs.cluster):
        # The fields alone are over 300 bytes; as a hash table, not Redis's compact form, they would be over 1,000.
        assert 300 < cost.bytes_per_rating < 1_000
        assert cost.server_us > 0
        assert cost.client_us > 0
    assert costs.cluster.bytes_per_rating < costs.single.bytes_per_rating, "no summary is named in a cluster"


def test_the_command_writes_its_table_between_the_markers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        read_corpus()
    except CorpusError as absent:
        missing(str(absent))
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    flags = ["--results", str(RESULTS), "--readme", str(readme), "--ratings", "2000", "--write", "--ttl-days", "2"]
    code = main(flags)
    said = capsys.readouterr()
    if code == 2 and "redis-server" in said.err:
        missing(said.err)
    assert code == 0
    page = readme.read_text(encoding="utf-8")
    assert page == f"before\n{BEGIN}\n{said.out}{END}\nafter\n"
    parts = ["| reviews |", "**What breaks first**", "**Measured**", "**Assumed**", "`ttl_days` 2 days"]
    assert all(page.index(before) < page.index(after) for before, after in pairwise(parts))
