"""What can go wrong in the trainer, and the exit code each kind ends with.

Owns the tree below and the exit codes. Every message names the file, row, field or setting at fault and what to do.

    TrainerError
    ├── DataError                 reviews that cannot be learned from             exit 3
    │   ├── SampleError           the sample set cannot be fetched or differs      exit 3
    │   └── CorpusError           NLTK's word lists are not on this machine        exit 3
    ├── WarmStartError            a flag contradicts the version to start from     exit 2
    ├── RegistryError             no such version, channel or folder               exit 4
    │   └── ConflictError         somebody else moved the channel meanwhile        exit 7
    ├── RefusedError              the model was built and must not be published    exit 5
    │   └── ParityError           the TFLite file does not compute the Keras model exit 5
    ├── GateError                 published, but too poor for the channel to move  exit 6
    └── StreamError               Kafka cannot be read                             exit 8

`schemas.bundle.BundleError` (a bundle that must not serve) also ends with 4, pydantic's ValidationError with 2.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of `python -m trainer`; part of its contract."""

    OK = 0
    USAGE = 2
    BAD_DATA = 3
    REGISTRY = 4
    REFUSED = 5
    GATE = 6
    CONFLICT = 7
    STREAM = 8
    INTERRUPTED = 130


class TrainerError(Exception):
    """The root; `exit_code` says how the command ends."""

    exit_code = Exit.USAGE


class DataError(TrainerError):
    """Reviews that cannot be learned from."""

    exit_code = Exit.BAD_DATA


class SampleError(DataError):
    """The sample set cannot be fetched, or is not the one whose sha256 is pinned."""


class CorpusError(DataError):
    """NLTK's word lists are missing; the message names the command that fetches them."""


class WarmStartError(TrainerError):
    """A flag asks for another shape, encoder or split than the version that is started from has."""


class RegistryError(TrainerError):
    """The registry has no such version or channel, or cannot be read or written."""

    exit_code = Exit.REGISTRY


class ConflictError(RegistryError):
    """Somebody else moved the channel since it was read, so the decision to move it rests on nothing."""

    exit_code = Exit.CONFLICT


class RefusedError(TrainerError):
    """The model was built and must not be published."""

    exit_code = Exit.REFUSED


class ParityError(RefusedError):
    """The TFLite file does not compute what the Keras model computes."""


class GateError(TrainerError):
    """The version is in the registry, and worse than the channel's in a way the gate does not let pass."""

    exit_code = Exit.GATE


class StreamError(TrainerError):
    """The brokers do not answer or refuse, or there is no such topic."""

    exit_code = Exit.STREAM
