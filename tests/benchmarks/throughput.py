"""Reviews a second from the moment the backlog appears until the last offset is committed, and what they cost."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.benchmarks.arithmetic import per_review
from tests.benchmarks.catalogue import Program, Start, start_of
from tests.benchmarks.corpus import Corpus
from tests.benchmarks.page import await_ready, loop_seconds
from tests.benchmarks.processes import RowError, Watched, running
from tests.benchmarks.rows.job import CHECKPOINT, Job
from tests.benchmarks.stack import Run, Stack

_LONGEST_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Bench:
    """What every row is measured with."""

    stack: Stack
    corpus: Corpus
    channels: Mapping[str, Path]  # whose bundles the programs are given
    reviews: int


@dataclass(frozen=True, slots=True)
class Ready:
    """A program that has joined its group and waits."""

    run: Run
    watched: Watched
    start: Start
    ready_s: float


def throughput(bench: Bench, program: Program) -> dict[str, float]:
    """Measure one run of a program.

    Raises:
        RowError: it could not be measured.
    """
    reviews, checkpoint = share_of(bench.reviews, program)
    with joined(bench, program, checkpoint) as ready:
        run, watched, page = ready.run, ready.watched, ready.start.page
        open_gate = run.preload(bench.corpus.records(reviews))
        time.sleep(0.5)
        phases = loop_seconds(page) if page else {}
        services = bench.stack.services_cpu_s()
        rss_start_mb, cpu_before_s = watched.rss_mb(), watched.cpu_s()
        started = time.monotonic()
        open_gate()
        ended = run.await_committed(watched, reviews, _LONGEST_S)
        cpu_s, rss_mb = watched.cpu_s() - cpu_before_s, watched.rss_mb()
        services = per_review(services, bench.stack.services_cpu_s(), reviews)
        phases = per_review(phases, loop_seconds(page), reviews) if page else {}
        _require_outputs(bench.stack, run, reviews)
    return {
        "reviews_per_s": reviews / (ended - started),
        "cpu_us_per_review": cpu_s * 1e6 / reviews,
        "broker_cpu_us_per_review": services["broker"],
        "redis_cpu_us_per_review": services["redis"],
        "rss_start_mb": rss_start_mb,
        "rss_mb": rss_mb,
        "ready_s": ready.ready_s,
        "reviews": float(reviews),
        **{f"{name}_us_per_review": value for name, value in phases.items()},
    }


@contextmanager
def joined(bench: Bench, program: Program, checkpoint: int, *, notify: str = "") -> Iterator[Ready]:
    """Start a program on topics of its own and wait until it has joined; end it and remove them afterwards."""
    run = Run(bench.stack, program.name)
    try:
        bench.stack.empty_redis(notify=notify)
        job = Job(
            bootstrap=bench.stack.kafka.bootstrap,
            redis_url=bench.stack.redis.url,
            input_topic=run.input_topic,
            output_topic=run.output_topic,
            group=run.group,
            bundle=str(bench.channels[program.channel]),
            checkpoint=checkpoint,
            exactly_once=program.exactly_once,
        )
        start = start_of(program, job, run.dead_letter_topic)
        started = time.monotonic()
        with running(start.command, start.variables) as watched:
            ready_at = await_ready(start.page, watched) if start.page else 0.0
            joined_at = run.await_members(watched, program.members)
            yield Ready(run, watched, start, (ready_at or joined_at) - started)
    finally:
        run.close()


def share_of(reviews: int, program: Program) -> tuple[int, int]:
    """Return how many reviews a program is given, whole checkpoints, and how many make a checkpoint."""
    given = min(program.backlog or reviews, program.most_reviews)
    checkpoint = min(CHECKPOINT, given)
    if given >= 100 and checkpoint < CHECKPOINT:
        checkpoint = given = given // 100 * 100  # the naive programs commit every 100
    return given // checkpoint * checkpoint, checkpoint


def _require_outputs(stack: Stack, run: Run, reviews: int) -> None:
    """Raise unless every review has its rating in both places: a row that skips work is no row."""
    if stack.stored() < reviews or run.published() < reviews:
        raise RowError(f"{reviews} reviews gave {stack.stored()} keys in Redis and {run.published()} records")
