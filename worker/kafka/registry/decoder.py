"""The Decoder port: values and keys in a schema registry's wire format, as the producers' serializers write them.

Owns which schema could not be fetched, so that the wait for the registry ends with it. `schemas.input.wire_format`
reads the bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from schemas.input.wire_format import RegisteredSchema, SchemaKey, WireFormat, WireReader
from worker.kafka.registry.client import SchemaRegistry
from worker.settings import WorkerSettings
from worker.stream.ports import Decoder


class RegistryDecoder(Decoder):
    """Decodes values and keys; a schema is asked for once.

    Args:
        form: of the values.
        registry: has the schemas; None where the form needs none.
    """

    def __init__(self, form: WireFormat, registry: SchemaRegistry | None) -> None:
        self._registry = registry
        self._wanted: SchemaKey | None = None  # could not be fetched
        self._reader = WireReader(form, self._fetch)

    @override
    def decode(self, value: bytes, headers: Sequence[tuple[str, bytes | None]]) -> Any:
        return self._reader.value(value, headers)

    @override
    def key_text(self, key: bytes | None) -> bytes | None:
        return self._reader.key(key)

    @override
    def ping(self) -> None:
        if self._wanted is not None:
            self._fetch(self._wanted)

    def _fetch(self, key: SchemaKey) -> RegisteredSchema | None:
        assert self._registry is not None  # noqa: S101 - JSON Schema asks for none
        self._wanted = key
        found = self._registry.schema(key)
        self._wanted = None
        return found


def make_rating_decoder(settings: WorkerSettings) -> RegistryDecoder | None:
    """Return what decodes ratings in the form that the settings name; None for JSON and CloudEvents.

    Raises:
        SettingsError: the packages are not installed.
    """
    if settings.output_format == "avro":
        return RegistryDecoder("avro", SchemaRegistry(settings))
    return RegistryDecoder("json_schema", None) if settings.output_format == "json_schema" else None


def make_decoder(settings: WorkerSettings) -> RegistryDecoder | None:
    """Return what decodes values in the form that the settings name; None for JSON and text.

    Raises:
        SettingsError: the packages are not installed.
    """
    if settings.input_format == "avro":
        return RegistryDecoder("avro", SchemaRegistry(settings))
    return RegistryDecoder("json_schema", None) if settings.input_format == "json_schema" else None
