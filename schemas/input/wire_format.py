"""The wire format of schema registries: a null byte, the id of a schema, and a value in Avro or JSON.

Owns how values and keys in it are read. The schemas come from a registry's client, which `worker.kafka.registry` and
`trainer.collect` have. JSON needs no schema to be read, so no registry is asked for it. fastavro is imported when the
first schema arrives.
"""

from __future__ import annotations

import json
import re
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any, Final, Literal, NamedTuple, Protocol
from uuid import UUID

from pydantic_core import from_json

from schemas.input.value import InvalidReviewError, ValueFormat

WireFormat = Literal["avro", "json_schema"]
InputFormat = Literal[ValueFormat, WireFormat]
SchemaKey = int | str  # its id; or its GUID, which serializers of 2025 and later can send in a header instead

PREFIX_BYTES: Final = 5
_GUID_HEADER: Final = "__value_schema_id"
_GUID_BYTES: Final = 17  # with a leading 1
_UNKNOWN_S: Final = 60.0  # a schema that the registry does not know is asked for again after this long
# What fastavro raises for bytes that another schema wrote.
_UNREADABLE: Final = (EOFError, ValueError, LookupError, TypeError, OverflowError, RecursionError, struct.error)


class RegisteredSchema(NamedTuple):
    """A schema as a registry has it."""

    kind: str  # AVRO, JSON or PROTOBUF
    text: str
    needs: Sequence[str] = ()  # the schemas that it refers to, each after those that it refers to itself


class RegistryClient(Protocol):
    """What is needed of confluent-kafka's client."""

    def get_schema(self, schema_id: int) -> Any:
        """Return a schema by its id."""

    def get_schema_by_guid(self, guid: str) -> Any:
        """Return a schema by its GUID."""

    def get_version(self, subject_name: str, version: int, deleted: bool) -> Any:
        """Return a version of a subject, which holds a schema."""


def fetch_schema(client: RegistryClient, key: SchemaKey) -> RegisteredSchema:
    """Return a schema and what it refers to; the client's errors go through."""
    found = client.get_schema(key) if isinstance(key, int) else client.get_schema_by_guid(key)
    needs: dict[str, str] = {}
    _add_needs(client, found, needs)
    return RegisteredSchema(found.schema_type or "AVRO", found.schema_str, tuple(needs.values()))


def _add_needs(client: RegistryClient, schema: Any, needs: dict[str, str]) -> None:
    for reference in schema.references or ():
        if reference.name not in needs:
            found = client.get_version(reference.subject, reference.version, True).schema
            _add_needs(client, found, needs)
            needs[reference.name] = found.schema_str


def address_of(url: str) -> str:
    """Return a registry's URL as it may be shown: without user and password."""
    return re.sub(r"//[^/@]*@", "//", url)


def is_unknown(status: int, code: int | None) -> bool:
    """Tell whether a registry's answer says that it has no such schema, and not that there is no registry."""
    return status == 404 and 40_400 <= (code or 0) < 40_500


class WireReader:
    """Reads values and keys, each schema fetched once.

    Args:
        form: `avro` reads both kinds; `json_schema` never asks for a schema.
        schema_of: returns a schema, None when the registry has none such; its errors go through.
        monotonic: seconds.
    """

    def __init__(
        self,
        form: WireFormat,
        schema_of: Callable[[SchemaKey], RegisteredSchema | None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._form = form
        self._schema_of = schema_of
        self._monotonic = monotonic
        self._readers: dict[SchemaKey, Callable[[bytes], Any]] = {}
        self._unknown: dict[SchemaKey, float] = {}  # until when they need not be asked for

    def reads(self, value: bytes, headers: Sequence[tuple[str, bytes | None]] = ()) -> bool:
        """Tell whether a value looks like the wire format."""
        return (value[:1] == b"\0" and len(value) >= PREFIX_BYTES) or _guid(headers) is not None

    def value(self, value: bytes, headers: Sequence[tuple[str, bytes | None]] = ()) -> Any:
        """Return what a record's value holds.

        Raises:
            InvalidReviewError: it is not the wire format, the registry has no such schema, or another one wrote it.
        """
        key: SchemaKey | None = _guid(headers) if headers else None
        if key is None:
            if not self.reads(value):
                raise InvalidReviewError("wrong_type", f"value: {_describe(value)}, expected {_EXPECTED}")
            key, value = int.from_bytes(value[1:PREFIX_BYTES], "big"), value[PREFIX_BYTES:]
        reader = self._readers.get(key) or self.reader(key)
        try:
            return reader(value)
        except _UNREADABLE as error:
            raise InvalidReviewError(*self._fault(key, error)) from None

    def key(self, key: bytes | None) -> bytes | None:
        """Return a key as text: the string or number in it, also as the only field of a record; others as they are.

        Only errors of the registry's client go through.
        """
        if key is None or not self.reads(key):
            return key
        try:
            found = self.value(key)
        except InvalidReviewError:
            return key
        if isinstance(found, Mapping) and len(found) == 1:
            (found,) = found.values()
        return str(found).encode("utf-8", "replace") if isinstance(found, str | int | UUID) else key

    def reader(self, key: SchemaKey) -> Callable[[bytes], Any]:
        """Return what reads the values of a schema.

        Raises:
            InvalidReviewError: the registry has no such schema, or it cannot be used.
        """
        if self._form == "json_schema":
            return from_json
        if self._unknown.get(key, 0.0) <= self._monotonic():
            schema = self._schema_of(key)
            if schema is not None:
                reader = self._readers[key] = _reader_of(key, schema)
                return reader
            self._unknown[key] = self._monotonic() + _UNKNOWN_S
        raise InvalidReviewError(
            "unknown_schema",
            f"value: schema {key} is not in the registry; is WORKER_SCHEMA_REGISTRY_URL the one its producer uses?",
        )

    def _fault(self, key: SchemaKey, error: Exception) -> tuple[Literal["not_json", "wrong_type"], str]:
        if self._form == "json_schema":
            hint = "if it is Avro, WORKER_INPUT_FORMAT=avro reads it"
            return "not_json", f"value: what follows schema id {key} is not JSON; {hint}"
        return "wrong_type", f"value: schema {key} did not write it ({type(error).__name__} at reading)"


_EXPECTED: Final = (
    "a schema registry's wire format (a null byte, a schema id, the value); "
    "WORKER_INPUT_FORMAT=auto reads JSON and plain text"
)


def _describe(value: bytes) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return f"bytes that begin with 0x{value[:1].hex()}"
    return "JSON without a schema id" if text.lstrip()[:1] in {"{", "["} else "text" if text else "no bytes"


def _guid(headers: Sequence[tuple[str, bytes | None]]) -> str | None:
    for name, value in headers:
        if name == _GUID_HEADER and value is not None and len(value) == _GUID_BYTES and value[0] == 1:
            return str(UUID(bytes=bytes(value[1:])))
    return None


def _reader_of(key: SchemaKey, schema: RegisteredSchema) -> Callable[[bytes], Any]:
    if schema.kind == "JSON":
        return from_json
    if schema.kind != "AVRO":
        raise InvalidReviewError("wrong_type", f"value: schema {key} is {schema.kind}; Avro and JSON Schema are read")
    import fastavro
    from fastavro.schema import SchemaParseException, UnknownType

    named: dict[str, Any] = {}
    try:
        for text in schema.needs:
            fastavro.parse_schema(json.loads(text), named)
        parsed = fastavro.parse_schema(json.loads(schema.text), named)
    except (SchemaParseException, UnknownType, *_UNREADABLE) as error:
        raise InvalidReviewError("unknown_schema", f"value: schema {key} cannot be used: {error}") from None
    read = fastavro.schemaless_reader
    return lambda value: read(BytesIO(value), parsed, None)
