"""The rows: each measured program with its name, how it is started, and how much of the work it is given.

Owns names and commands. `README.md` says how each is written.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from deploy.process import LOOPBACK, free_port
from schemas.channels import STABLE
from tests.benchmarks.rows.job import Job
from tests.benchmarks.venvs import python_of

# Reviews a second at which latency and CPU are compared with others': the same for each, not a share of what it can do.
FIXED_RATES: Final = (500.0, 2_000.0, 5_000.0)
FAST: Final = "fast"  # a channel: `python -m trainer train ... --variant int8 --channel fast`


def _own_python() -> str:
    return sys.executable


@dataclass(frozen=True, slots=True)
class Program:
    """A program between the two topics."""

    name: str  # of the row
    what: str  # one line for the table
    module: str | None = None  # of `rows`; None for the worker itself
    exactly_once: bool = False  # which delivery it is asked for
    most_reviews: int = 10**9  # a slower program is given less, and its rate is what counts
    members: int = 1  # processes in its consumer group
    flags: tuple[str, ...] = ()  # of the worker
    python: Callable[[], str] = _own_python  # makes its environment when needed
    # Which loads its latency is measured at, as shares of its capacity; 0 is one review at a time.
    latency: tuple[float, ...] = ()
    rates: tuple[float, ...] = ()  # and at which rates, those that it can keep up with
    channel: str = STABLE  # of the registry, whose bundle it is given
    backlog: int = 0  # reviews it is given whatever the command says; 0: what the command says
    once: bool = False  # measured in the first run alone, for it takes long


@dataclass(frozen=True, slots=True)
class Start:
    """How a program is started for one run."""

    command: list[str]
    variables: Mapping[str, str] = field(default_factory=dict)
    page: str | None = None  # of the worker


PROGRAMS: Final = (
    Program("naive_keras", "per review: NLTK, Keras predict", module="naive_keras", most_reviews=300, once=True),
    Program("naive_tflite", "per review: NLTK, TFLite padded to 100", module="naive_tflite", most_reviews=3_000),
    Program(
        "quix_exactly_once",
        "Quix Streams, exactly-once",
        module="quix",
        exactly_once=True,
        most_reviews=20_000,
        python=lambda: python_of("quix"),
        rates=FIXED_RATES,
    ),
    Program(
        "quix_at_least_once",
        "Quix Streams, at-least-once",
        module="quix",
        most_reviews=20_000,
        python=lambda: python_of("quix"),
    ),
    Program(
        "faststream_batch",
        "FastStream (aiokafka) in batches, at-least-once",
        module="faststream_batch",
        most_reviews=20_000,
        python=lambda: python_of("faststream"),
        rates=FIXED_RATES,
    ),
    Program(
        "bare_exactly_once",
        "bare kafka-python, exactly-once",
        module="bare",
        exactly_once=True,
        latency=(0.0,),
        rates=FIXED_RATES,
    ),
    Program("bare_at_least_once", "bare kafka-python, at-least-once", module="bare", latency=(0.0,)),
    Program(
        "bare_confluent_exactly_once",
        "bare confluent-kafka, exactly-once",
        module="bare_confluent",
        exactly_once=True,
        latency=(0.0,),
        rates=FIXED_RATES,
    ),
    Program(
        "bare_confluent_at_least_once",
        "bare confluent-kafka, at-least-once",
        module="bare_confluent",
        latency=(0.0,),
    ),
    Program("worker", "the worker, exactly-once", exactly_once=True, latency=(0.0, 0.1, 0.5, 0.8), rates=FIXED_RATES),
    Program("worker_at_least_once", "the worker, at-least-once", latency=(0.0, 0.5)),
    Program(
        "worker_confluent",
        "the worker on confluent-kafka, exactly-once",
        exactly_once=True,
        flags=("--kafka-client", "confluent"),
        latency=(0.0, 0.1, 0.5, 0.8),
        rates=FIXED_RATES,
    ),
    Program(
        "worker_confluent_at_least_once",
        "the worker on confluent-kafka, at-least-once",
        flags=("--kafka-client", "confluent"),
        latency=(0.0, 0.5),
    ),
    Program("worker_10k", "the worker, exactly-once, a backlog of 10,000", exactly_once=True, backlog=10_000),
    Program(
        "worker_1m", "the worker, exactly-once, a backlog of 1,000,000", exactly_once=True, backlog=10**6, once=True
    ),
    Program("worker_fast", "the worker, exactly-once, fast bundle", exactly_once=True, channel=FAST),
    Program(
        "worker_confluent_fast",
        "the worker on confluent-kafka, exactly-once, fast bundle",
        exactly_once=True,
        flags=("--kafka-client", "confluent"),
        latency=(0.5,),
        channel=FAST,
    ),
    Program(
        "worker_confluent_2_processes",
        "the worker on confluent-kafka, exactly-once, 2 processes",
        exactly_once=True,
        members=2,
        flags=("--processes", "2", "--kafka-client", "confluent"),
    ),
    Program(
        "worker_2_processes",
        "the worker, exactly-once, 2 processes",
        exactly_once=True,
        members=2,
        flags=("--processes", "2"),
    ),
    Program(
        "worker_2_processes_at_least_once",
        "the worker, at-least-once, 2 processes",
        members=2,
        flags=("--processes", "2"),
    ),
    Program(
        "worker_tflite_runtime",
        "the worker, exactly-once, on tflite-runtime 2.14",
        exactly_once=True,
        flags=("--runtime", "tflite"),
        python=lambda: python_of("tflite", version=(3, 11)),
    ),
)
# What `rows/offline.py` measures: name -> one line for the table.
OFFLINE: Final = {
    "inference_grouped": "inference alone: natural lengths, our grouping",
    "inference_padded": "inference alone: padded to the encoder's maximum",
    "inference_padded_100": "inference alone: padded to 100",
    "inference_one_by_one": "inference alone: one by one, natural length",
    "inference_matmul_limit": "inference's limit: NumPy products of the same shapes",
    "encoder": "text to ids alone",
    "encoder_and_inference": "text to stars: encoder, grouping, decision",
}


def start_of(program: Program, job: Job, dead_letter_topic: str) -> Start:
    """Return how to start a program on a job."""
    if program.module is not None:
        return Start([program.python(), "-m", f"benchmarks.rows.{program.module}", job.to_json()])
    registry, _, version = job.bundle.rpartition("/")
    port = free_port()
    variables = {
        "WORKER_KAFKA_BOOTSTRAP_SERVERS": job.bootstrap,
        "WORKER_REDIS_URL": job.redis_url,
        "WORKER_REDIS_FORM": "2",  # the default is for fleets in which older workers run
        "WORKER_REGISTRY": registry,
        "WORKER_INPUT_TOPICS": job.input_topic,
        "WORKER_OUTPUT_TOPIC": job.output_topic,
        "WORKER_DEAD_LETTER_TOPIC": dead_letter_topic,
        "WORKER_GROUP_ID": job.group,
        "WORKER_DELIVERY": "exactly_once" if job.exactly_once else "at_least_once",
        "WORKER_HTTP_HOST": LOOPBACK,
        "WORKER_HTTP_PORT": str(port),
        "WORKER_MODEL_VERSION": version,
    }
    command = [program.python(), "-m", "worker", "run", *program.flags]
    return Start(command, variables, f"http://{LOOPBACK}:{port}")
