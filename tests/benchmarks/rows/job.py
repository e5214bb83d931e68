"""What every measured program gets, and what all of them share: the same bundle and the same outputs.

Owns the form of the job. Never measures: the harness does, from outside. Imports only what each environment has.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.bundle import Bundle, read_bundle
from schemas.decision import Decision
from schemas.inference import Model

TTL_S: Final = 30 * 24 * 3600  # the worker's default
CHECKPOINT: Final = 2000  # reviews between two commits: the worker's default, and everybody's
PADDED_TOKENS: Final = 100  # the length tutorials pad to; p99 of the reviews is 95 words


@dataclass(frozen=True, slots=True)
class Job:
    """Where to read, where to write, with which bundle, and how often to commit."""

    bootstrap: str
    redis_url: str
    input_topic: str
    output_topic: str
    group: str
    bundle: str  # folder of the bundle
    checkpoint: int  # reviews between two commits, for programs that commit by count
    exactly_once: bool = False

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def read_job() -> Job:
    """Return the job this process was given."""
    return Job(**json.loads(sys.argv[1]))


def read_model(job: Job) -> tuple[Bundle, Model]:
    """Return the bundle, and the served model on ai-edge-litert with one thread."""
    from ai_edge_litert.interpreter import Interpreter

    bundle = read_bundle(Path(job.bundle))
    return bundle, bundle.load(lambda content: Interpreter(model_content=content, num_threads=1))


def rating(review: Mapping[str, Any], probabilities: npt.NDArray[np.float32], bundle: Bundle) -> dict[str, Any]:
    """Return the output of the contract for one review, from `float32[K]`: the value of the record."""
    decision = bundle.manifest.decision
    assert isinstance(decision, Decision), "the benchmark's bundle gives stars"
    row = probabilities.reshape(1, -1)
    choice = int(decision.choices(row)[0])
    shares = [round(float(share), 6) for share in probabilities]
    return {
        "review_id": review["review_id"],
        "app_id": review["app_id"],
        "rating": decision.labels[choice],
        "expected_rating": round(float(decision.expected_ratings(row)[0]), 4),
        "confidence": shares[choice],
        "uncertain": False,
        "probabilities": shares,
        "model_version": bundle.version,
        "rated_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }


def with_source(value: dict[str, Any], topic: str, partition: int, offset: int) -> dict[str, Any]:
    """Return the output with where its review was read."""
    return {**value, "source": {"topic": topic, "partition": partition, "offset": offset}}


def hash_of(value: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of a rating's Redis hash."""
    source = value["source"]
    flat = {name: part for name, part in value.items() if name not in {"probabilities", "source"}}
    flat |= {
        "uncertain": int(value["uncertain"]),
        "probabilities": ",".join(map(str, value["probabilities"])),
        "source_topic": source["topic"],
        "source_partition": source["partition"],
        "source_offset": source["offset"],
    }
    return {name: str(part) for name, part in flat.items()}


def key_of(value: Mapping[str, Any]) -> str:
    """Return the Redis key of a rating."""
    return f"rating:{{{value['review_id']}}}"
