"""The worker's errors, and the exit code each ends the process with.

    WorkerError                  an operator can act on it; the message is one clear line
    ├── SettingsError            a flag or variable is wrong
    ├── ModelError               there is no bundle, or it must not serve
    │   └── RegistryError        the registry does not answer, or its channels cannot be read
    ├── ServiceError             Kafka, Redis or the schema registry failed
    │   ├── TransientError       it may work later: back off and try again
    │   │   ├── RefusedError     the brokers refuse some records: change those records, this is no outage
    │   │   └── ProducerFencedError  another producer has the transactional id, or the transaction ran out of time
    │   ├── PermanentError       an operator must act (missing topic, no permission, wrong type of key)
    │   └── FencedError          another worker has this process's identity: exit
    └── StreamRejectedError      the dead-letter breaker opened

Owns the tree and the exit codes. Errors of libraries are translated where the library is called: those of Kafka's
clients in `worker.kafka.python` and `worker.kafka.confluent`, the schema registry's in `worker.kafka.registry`,
Redis's in `worker.redis`, those of fsspec, the bundle's reader and the runtime in `worker.model`, pydantic's in
`worker.settings`, a secret's file in `worker.environment`, whatever gives a token in `worker.kafka.tokens`, the
socket's in `worker.ops.http_server`, and a file's where a command reads or writes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, ClassVar, Literal


class ExitCode(IntEnum):
    """The exit codes of every command; `--help` prints this table."""

    OK = 0  # stopped by a signal, everything settled
    FAILED = 1  # an unforeseen error; the traceback is in the log
    USAGE = 2  # a flag or variable is wrong
    MODEL = 3  # there is no bundle, or it must not serve
    KAFKA = 4  # a permanent error of Kafka or of the schema registry, or `check` got no answer
    REDIS = 5  # a permanent error of Redis, or `check` got no answer
    DEADLINE = 6  # stopped, but the drain took too long; the rest is redelivered
    FENCED = 7  # another worker has this process's identity
    BREAKER = 8  # too large a share of dead letters
    INPUT = 9  # predict, produce: some rows are invalid; dlq redrive: some letters stay; get, explain: there is none
    CHILDREN = 10  # a supervised process kept crashing
    INTERRUPTED = 130  # a second signal, or a signal before `replay`, `restore` or `dlq redrive` was done


Refusal = Literal["size", "time", "record"]


class WorkerError(Exception):
    """Root of the tree; `exit_code` is what the process ends with when the error is not handled."""

    exit_code = ExitCode.FAILED


class SettingsError(WorkerError):
    """A flag or variable is wrong; the message names the variable."""

    exit_code = ExitCode.USAGE


class ModelError(WorkerError):
    """There is no bundle, or it must not serve."""

    exit_code = ExitCode.MODEL


class RegistryError(ModelError):
    """The registry does not answer, or its channels cannot be read; no bundle is at fault."""


class ServiceError(WorkerError):
    """Kafka, Redis or the schema registry failed; `service` says which."""

    kind: ClassVar[str] = "fatal"  # label of the error in metrics

    def __init__(self, service: str, message: str) -> None:
        super().__init__(f"{service}: {message}")
        self.service = service
        self.exit_code = ExitCode.REDIS if service == "redis" else ExitCode.KAFKA


class TransientError(ServiceError):
    """It may work later, without an operator."""

    kind = "transient"


class RefusedError(TransientError):
    """The brokers refuse some records as they are; waiting does not help, and the other records are not to blame.

    Attributes:
        why: the records' size, their time, or something else that makes them invalid, such as a missing key.
        records: those refused, or all of the batch that was refused when the client does not say which.
        exact: False when perhaps only one of them is at fault.
    """

    def __init__(self, why: Refusal, records: Sequence[Any], message: str, *, exact: bool = True) -> None:
        super().__init__("kafka", message)
        self.why = why
        self.records = records
        self.exact = exact


class ProducerFencedError(TransientError):
    """Another producer has this one's transactional id, or the brokers ended its transaction when its time was up."""


class PermanentError(ServiceError):
    """An operator must act."""

    kind = "permanent"


class FencedError(ServiceError):
    """Another worker has this process's identity."""

    def __init__(self, service: str, message: str) -> None:
        super().__init__(service, message)
        self.exit_code = ExitCode.FENCED


class StreamRejectedError(WorkerError):
    """Too large a share of the stream cannot be rated; an operator must find out why."""

    exit_code = ExitCode.BREAKER
