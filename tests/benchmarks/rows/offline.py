"""Inference and the encoder alone, in one process with one thread: what the model itself can do.

`python -m benchmarks.rows.offline '{"bundle": ..., "reviews": ...}'` prints one JSON object: row -> figures.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from schemas.bundle import Bundle, read_bundle
from schemas.encoding import Ids
from schemas.inference import GROUP_ROWS, Graph, length_groups, pad

from ..corpus import read_corpus
from .job import CHECKPOINT, PADDED_TOKENS


def main() -> None:
    job = json.loads(sys.argv[1])
    bundle = read_bundle(Path(job["bundle"]))
    interpreter = Interpreter(model_content=bundle.model, num_threads=1)
    graph = Graph(interpreter)
    model = bundle.load(lambda content: Interpreter(model_content=content, num_threads=1))
    texts = list(islice(cycle(read_corpus().texts), int(job["reviews"])))
    rows = model.encoder.encode_all(texts)
    few, fewer = rows[: len(rows) // 10], rows[: len(rows) // 20]
    longest = model.encoder.settings.max_tokens

    def grouped() -> None:
        for batch in _batches(rows):
            model.score_ids(batch)

    def one_by_one() -> None:
        for row in few:
            graph.logits(row[None, :])

    def whole() -> None:
        for batch in _batches(texts):
            model.score(batch)

    measured = {
        "inference_grouped": _measured(grouped, len(rows)),
        "inference_padded": _measured(lambda: _padded(graph, fewer, longest), len(fewer)),
        "inference_padded_100": _measured(lambda: _padded(graph, few, PADDED_TOKENS), len(few)),
        "inference_one_by_one": _measured(one_by_one, len(few)),
        "inference_matmul_limit": _measured(_products(bundle, rows), len(rows)),
        "encoder": _measured(lambda: model.encoder.encode_all(texts), len(texts)),
        "encoder_and_inference": _measured(whole, len(texts)),
    }
    print(json.dumps(measured))


def _batches(values: Sequence[Any]) -> list[Sequence[Any]]:
    return [values[start : start + CHECKPOINT] for start in range(0, len(values), CHECKPOINT)]


def _padded(graph: Graph, rows: Sequence[Ids], length: int) -> None:
    """Run groups of as many rows as ours, each padded to one length."""
    for start in range(0, len(rows), GROUP_ROWS):
        group = rows[start : start + GROUP_ROWS]
        padded = np.zeros((len(group), length), dtype=np.int32)
        for at, row in enumerate(group):
            padded[at, : min(len(row), length)] = row[:length]
        graph.logits(padded)


def _products(bundle: Bundle, rows: Sequence[Ids]) -> Callable[[], None]:
    """Return the recurrent matrix products alone, of the shapes that our groups have: one a step and direction.

    State [B, H] times U [H, 3H], which a GRU cannot do without; the input's part is folded into the embedding table
    and costs a look-up. No gates, no look-up, no mask: nothing served can be faster on this BLAS.
    """
    settings = bundle.manifest.training["settings"]
    units, directions = int(settings["units"]), 2 if settings["bidirectional"] else 1
    recurrent = np.random.default_rng(0).standard_normal((units, 3 * units), dtype=np.float32)
    shapes = []
    for batch in _batches(rows):
        lengths = np.array([len(row) for row in batch])
        shapes += [pad([batch[at] for at in group], lengths[group]).shape for group in length_groups(lengths)]

    def run() -> None:
        for height, steps in shapes:
            state = np.zeros((height, units), dtype=np.float32)
            gates = np.empty((height, 3 * units), dtype=np.float32)
            for _ in range(steps * directions):
                np.dot(state, recurrent, out=gates)

    return run


def _measured(work: Callable[[], Any], reviews: int) -> dict[str, float]:
    started, cpu = time.perf_counter(), time.process_time()
    work()
    elapsed_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return {
        "reviews_per_s": reviews / elapsed_s,
        "cpu_us_per_review": cpu_s * 1e6 / reviews,
        "rss_mb": rss_mb,
        "reviews": float(reviews),
    }


if __name__ == "__main__":
    main()
