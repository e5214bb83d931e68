"""`python -m tests.benchmarks.trace_cost`: what traces cost a review, beside the worker's own code in the same run.

Processor time of the whole process, the sender's thread included: spans are encoded as for a collector, and dropped.
Each review has a `traceparent`; a batch's steps are those of the loop. The rows are measured in turn, pass by pass.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from typing_extensions import override

from tests.benchmarks.hot_path import Steps
from tests.benchmarks.machine import this_machine
from tests.benchmarks.report import markdown_table
from tests.conftest import TOY_REGISTRY
from tests.doubles import make_record
from worker.clock import SystemClock
from worker.records import Batch, Record
from worker.settings import WorkerSettings
from worker.traces.tracer import OpenTelemetryTraces

_STEPS: Final = ("parse", "store", *("classify", "store") * 4, "publish", "store", "commit")  # of a batch of 2,000
_TEXT: Final = "I have used this app every day for a year, and since the last update it crashes when I open the camera"


@dataclass(frozen=True)
class Row:
    """One way to trace."""

    name: str
    sampled_by_producers: float  # share of the reviews whose own trace is kept
    share: float  # WORKER_TRACE_SHARE
    follow: bool  # WORKER_TRACE_FOLLOW


ROWS: Final = (
    Row("1% of the batches", 0.01, 0.01, follow=False),
    Row("batches of reviews that producers keep (1%), and 1% of the others", 0.01, 0.01, follow=True),
    Row("every batch, with a link to each review", 1.0, 1.0, follow=True),
)


class _Encoded(SpanExporter):
    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        encode_spans(spans).SerializeToString()
        return SpanExportResult.SUCCESS


def records(count: int, sampled: float) -> list[Record]:
    """Return reviews with trace contexts, of which a share is sampled."""
    rng = random.Random(3)  # noqa: S311 - the same in each run
    return [
        make_record(
            f"{number} {_TEXT}",
            key=str(number).encode(),
            offset=number,
            headers=[
                ("traceparent", f"00-{number + 1:032x}-{number + 1:016x}-0{int(rng.random() < sampled)}".encode())
            ],
        )
        for number in range(count)
    ]


def cpu_us(row: Row | None, batches: Sequence[Sequence[Record]]) -> float:
    """Return the processor time of tracing these batches, in microseconds a review; None: the loop without traces."""
    clock = SystemClock()
    traces = None
    if row is not None:
        settings = WorkerSettings(_env_file=None, trace_share=row.share, trace_follow=row.follow)
        traces = OpenTelemetryTraces(settings, "cost", _Encoded(), clock, random.Random(5))  # noqa: S311
    started = time.process_time()
    for some in batches:
        trace = traces.begin(Batch(some, "full", 0, 1.0, 0.0)) if traces is not None else None
        for step in _STEPS:
            if trace is not None:
                trace.step(step, clock.monotonic(), 0.001)
        if trace is not None:
            trace.end({})
    if traces is not None:
        traces.close(60)
    return (time.process_time() - started) / sum(map(len, batches)) * 1e6


def main() -> int:
    """Print the table and return 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.trace_cost", description=__doc__)
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument(
        "--registry", default=str(TOY_REGISTRY), help="whose `stable` bundle the worker's own code runs"
    )
    given = parser.parse_args()
    size = WorkerSettings(_env_file=None).batch_reviews
    steps = Steps(given.registry)
    some = records(size * 5, 0.01)
    own, off = [], []
    costs: dict[str, list[float]] = {row.name: [] for row in ROWS}
    for _ in range(given.passes):
        seconds = steps.once(some)
        own.append(sum(value for name, value in seconds.items() if not name.startswith("of it")) / len(some) * 1e6)
        off.append(cpu_us(None, [some[:size]] * given.batches))
        for row in ROWS:
            costs[row.name].append(cpu_us(row, [records(size, row.sampled_by_producers)] * given.batches))
    grid = [["traced", "CPU us a review", "of the worker's own code"]]
    for name, values in {"nothing (off)": off, **costs}.items():
        grid.append([name, f"{median(values):.3f}", f"{median(values) / median(own):.1%}"])
    sys.stdout.write(f"{this_machine()}\nbatches of {size}, {len(_STEPS)} steps each; the worker's own code ")
    sys.stdout.write(f"{median(own):.1f} us a review (Kafka and Redis not counted)\n\n")
    sys.stdout.write("\n".join(markdown_table(grid)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
