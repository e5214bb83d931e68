"""Header names that are not UTF-8, as other languages' clients can send them: kafka-python stops at such a record.

Owns the one change to the client's reader of records: where it cannot decode a name, the name's bytes are escaped. The
client's version is pinned, and tests/contract/test_source.py reads such a record with both clients.
"""

from __future__ import annotations

from typing import Any

from kafka.record.default_records import DefaultRecordBatch

_read_strictly: Any = DefaultRecordBatch._read_msg


class _Escaped(bytearray):
    """A buffer whose slices decode what is not UTF-8 with backslashes."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Slice(found) if isinstance(at, slice) else found


class _Slice(bytes):
    def decode(self, *_: Any) -> str:
        return bytes(self).decode("utf-8", "backslashreplace")


def _read(batch: Any, *more: Any) -> Any:
    try:
        return _read_strictly(batch, *more)
    except UnicodeDecodeError:
        buffer, batch._buffer = batch._buffer, _Escaped(batch._buffer)
        try:
            return _read_strictly(batch, *more)
        finally:
            batch._buffer = buffer


def tolerate_header_names() -> None:
    """Let every consumer of this process read such records."""
    DefaultRecordBatch._read_msg = _read
