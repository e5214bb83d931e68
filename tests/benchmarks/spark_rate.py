"""`python -m tests.benchmarks.spark_rate`: what a core rates on Spark, beside `starstream-worker predict`.

Both rate the same Parquet file with the same bundle. CPU is that of the Python processes alone, without their start:
`predict` is run on few and on all reviews, and the difference counts; on Spark each task adds its own process's CPU
time, Arrow included, and the JVMs are left out. Reviews/s is of the wall clock: one process of `predict`, two executors
of Spark with a core each, after a first small job.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from pyarrow import parquet, table

from tests.benchmarks.corpus import ROOT, read_corpus
from tests.benchmarks.machine import this_machine
from tests.benchmarks.report import markdown_table
from tests.fixtures.spark import EXECUTORS, submit

_FEW: Final = 5_000
# The README's lines, with clocks.
_JOB: Final = """
import json, time
import pandas
from pyspark.sql import SparkSession
from worker import Model

SCHEMA = \"\"\"review_id string, rating int, expected_rating double, confidence double, uncertain boolean,
            probabilities array<double>, model_version string, unknown_share double\"\"\"
model = Model.open({registry!r}, "stable")
spark = SparkSession.builder.getOrCreate()
cpu_s = spark.sparkContext.accumulator(0.0)


def rate(tables):
    began = time.process_time()
    for table in tables:
        yield pandas.DataFrame({{"review_id": table["review_id"], **model.columns(table["text"])}})
    cpu_s.add(time.process_time() - began)


for name in ("few", "all"):
    before, began = cpu_s.value, time.monotonic()
    spark.read.parquet({folder!r} + "/" + name).mapInPandas(rate, SCHEMA).write.parquet({folder!r} + "/rated-" + name)
    found = {{"wall_s": time.monotonic() - began, "cpu_s": cpu_s.value - before}}
print(json.dumps(found))
"""


def main() -> int:
    """Measure both and print a table; return 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.spark_rate", description=__doc__)
    parser.add_argument("--reviews", type=int, default=200_000, metavar="N", help="how many (default: 200000)")
    parser.add_argument("--registry", type=Path, default=ROOT / "models", help="folder of bundles (default models/)")
    arguments = parser.parse_args()
    corpus = read_corpus()
    with tempfile.TemporaryDirectory() as scratch:
        folder, registry = Path(scratch), str(arguments.registry.resolve())
        for name, count in (("few", _FEW), ("all", arguments.reviews)):
            _write(folder / name, list(islice(cycle(corpus.texts), count)))
        few_wall_s, few_s = _predict(folder / "few", registry)
        all_wall_s, all_s = _predict(folder / "all", registry)
        done = submit(_JOB.format(registry=registry, folder=scratch), folder)
        if done.returncode != 0:
            raise SystemExit(done.stderr[-4000:])
        spark = json.loads(done.stdout.splitlines()[-1])
    count, more = arguments.reviews, arguments.reviews - _FEW
    rows = [
        ["predict, one process", *_figures(more, all_wall_s - few_wall_s, all_s - few_s, 1)],
        [f"Spark, {EXECUTORS} executors", *_figures(count, spark["wall_s"], spark["cpu_s"], EXECUTORS)],
    ]
    print(f"{this_machine()}\n{count:,} reviews of {corpus.name}\n")
    print("\n".join(markdown_table([["row", "reviews/s", "reviews/s a core", "CPU us a review"], *rows])))
    return 0


def _write(folder: Path, texts: list[str]) -> None:
    folder.mkdir()
    for part in range(8):
        ids = [f"r-{number}" for number in range(part, len(texts), 8)]
        parquet.write_table(table({"review_id": ids, "text": texts[part::8]}), folder / f"{part}.parquet")
    parquet.write_table(parquet.read_table(folder), folder.with_suffix(".parquet"))


def _predict(reviews: Path, registry: str) -> tuple[float, float]:
    """Return wall and CPU seconds of `predict`."""
    path = reviews.with_suffix(".parquet")
    command = [sys.executable, "-m", "worker", "predict", str(path), "--registry", registry]
    before, began = _children_s(), time.monotonic()
    subprocess.run([*command, "--output", f"{path}.jsonl"], cwd=ROOT, check=True, capture_output=True)
    return time.monotonic() - began, _children_s() - before


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _figures(reviews: int, wall_s: float, cpu_s: float, cores: int) -> list[str]:
    return [f"{reviews / wall_s:,.0f}", f"{reviews / wall_s / cores:,.0f}", f"{cpu_s / reviews * 1e6:.1f}"]


if __name__ == "__main__":
    sys.exit(main())
