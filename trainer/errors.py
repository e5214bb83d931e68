"""The errors of the trainer, and the exit code of each.

Owns the tree below and the exit codes. Every message names the file, row, field or setting at fault and what to do.

    TrainerError
    ├── FlagError                 a flag names a file that cannot be used          exit 2
    ├── MissingExtraError         the trainer's extra is not installed             exit 2
    ├── WarmStartError            a flag contradicts the version to start from     exit 2
    ├── DataError                 reviews that cannot be used for training         exit 9
    │   ├── SampleError           the sample set cannot be fetched or differs      exit 9
    │   └── CorpusError           NLTK's word lists are not on this machine        exit 9
    ├── RegistryError             it is away, or has no such version or channel    exit 3
    │   └── ConflictError         somebody else moved the channel meanwhile        exit 7
    ├── ParityError               the TFLite file does not compute the Keras model exit 5
    ├── GateError                 published, but the channel must not move         exit 6
    └── StreamError               Kafka cannot be read                             exit 8

`schemas.bundle.BundleError` (a bundle that must not serve) also ends with 3, pydantic's ValidationError with 2.
2, 3 and 9 mean the same as in the worker (`worker.errors`): a wrong flag, the registry or a bundle, unusable input.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of `starstream-trainer`; part of its contract."""

    OK = 0
    USAGE = 2
    REGISTRY = 3
    REFUSED = 5
    GATE = 6
    CONFLICT = 7
    STREAM = 8
    BAD_DATA = 9
    INTERRUPTED = 130


class TrainerError(Exception):
    """The root of the tree; `exit_code` is the exit code of the command."""

    exit_code = Exit.USAGE


class FlagError(TrainerError):
    """A flag names a file that cannot be read, or is not what the flag takes."""


class MissingExtraError(TrainerError):
    """A package of the trainer's extra is not installed; the message says how to install it."""


class WarmStartError(TrainerError):
    """A flag contradicts the shape, encoder or split of the version to start from."""


class DataError(TrainerError):
    """Reviews that cannot be used for training."""

    exit_code = Exit.BAD_DATA


class SampleError(DataError):
    """The sample set cannot be fetched, or its sha256 is not the pinned one."""


class CorpusError(DataError):
    """NLTK's word lists are missing; the message names the command that fetches them."""


class RegistryError(TrainerError):
    """The registry has no such version or channel, or cannot be read or written."""

    exit_code = Exit.REGISTRY


class ConflictError(RegistryError):
    """Somebody else moved the channel since it was read, so the decision to move it is out of date."""

    exit_code = Exit.CONFLICT


class ParityError(TrainerError):
    """The model was built, but its TFLite file does not compute what the Keras model computes."""

    exit_code = Exit.REFUSED


class GateError(TrainerError):
    """The version is in the registry, but worse than the channel's by more than the gate allows."""

    exit_code = Exit.GATE


class StreamError(TrainerError):
    """The brokers do not answer or refuse the connection, or there is no such topic."""

    exit_code = Exit.STREAM
