"""The worker's errors, and the exit code each ends the process with.

    WorkerError                  something the operator can act on; the message is one clear line
    ├── SettingsError            a variable is wrong
    ├── ModelError               no bundle, or one that must not serve
    │   └── RegistryError        the registry does not answer, or not with channels
    ├── ServiceError             Kafka or Redis, translated once, at the adapter
    │   ├── TransientError       comes back by itself: pause, back off, try again
    │   ├── PermanentError       will not heal by waiting (topic missing, not authorised, wrong type of key)
    │   └── FencedError          another worker owns this slot: exit
    └── StreamRejectedError      the dead-letter breaker opened

Owns the tree and the exit codes. Third-party errors are translated in `source` and `sinks`, nowhere else.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What the process says when it ends; `--help` prints this table."""

    OK = 0  # stopped as asked, everything settled
    FAILED = 1  # an unforeseen error; the traceback is in the log
    USAGE = 2  # a flag or variable is wrong
    MODEL = 3  # no bundle, or it must not serve
    KAFKA = 4  # Kafka refused for good, or did not answer `check`
    REDIS = 5  # Redis refused for good, or did not answer `check`
    DEADLINE = 6  # stopped, but the drain did not finish in time; the rest is redelivered
    FENCED = 7  # another worker has this slot's identity
    BREAKER = 8  # too large a share of dead letters
    INPUT = 9  # predict: some rows could not be rated
    CHILDREN = 10  # the supervisor gave a process up after repeated crashes
    INTERRUPTED = 130  # second signal: left at once


class WorkerError(Exception):
    """Root of the tree; `exit_code` is what the process ends with when nobody handles it."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED


class SettingsError(WorkerError):
    """A variable is wrong; the message names it."""

    exit_code = ExitCode.USAGE


class ModelError(WorkerError):
    """No bundle can be served."""

    exit_code = ExitCode.MODEL


class RegistryError(ModelError):
    """The registry does not answer, or its channels cannot be read: says nothing of any bundle."""


class ServiceError(WorkerError):
    """Kafka or Redis failed; `service` says which."""

    kind: ClassVar[str] = "fatal"  # label of the error in metrics

    def __init__(self, service: str, message: str) -> None:
        super().__init__(f"{service}: {message}")
        self.service = service

    @property
    def code(self) -> ExitCode:
        """The exit code of this very error."""
        return ExitCode.REDIS if self.service == "redis" else ExitCode.KAFKA


class TransientError(ServiceError):
    """It comes back by itself."""

    kind = "transient"


class PermanentError(ServiceError):
    """Waiting does not heal it; somebody must act."""

    kind = "permanent"


class FencedError(ServiceError):
    """Another worker owns this slot's identity."""

    @property
    def code(self) -> ExitCode:
        """FENCED, whichever service said so."""
        return ExitCode.FENCED


class StreamRejectedError(WorkerError):
    """Too large a share of the stream can not be rated; an operator must look."""

    exit_code = ExitCode.BREAKER


def exit_code_of(error: WorkerError) -> ExitCode:
    """Return the exit code an error ends the process with."""
    return error.code if isinstance(error, ServiceError) else error.exit_code
