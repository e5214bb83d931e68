"""Schemas for records in a schema registry's wire format, over confluent-kafka's client.

Owns the connection and the translation of its errors. `schemas.input.wire_format` reads the bytes.
"""

from __future__ import annotations

from typing import Any

from schemas.input.wire_format import RegisteredSchema, SchemaKey, WireReader, address_of, fetch_schema, is_unknown
from trainer.collect.settings import CollectSettings
from trainer.errors import MissingExtraError, StreamError


def make_reader(settings: CollectSettings) -> WireReader | None:
    """Return what reads values in the form that the settings name; None for JSON and text.

    The reader raises `StreamError` when the registry does not answer or refuses.

    Raises:
        MissingExtraError: the packages are not installed.
    """
    if settings.input_format == "json_schema":
        return WireReader("json_schema", lambda _key: None)
    return WireReader("avro", _Registry(settings).schema) if settings.input_format == "avro" else None


class _Registry:
    def __init__(self, settings: CollectSettings) -> None:
        try:
            import fastavro  # noqa: F401 - so that a missing one is reported now
            import httpx2
            from confluent_kafka.schema_registry import SchemaRegistryClient
            from confluent_kafka.schema_registry.error import SchemaRegistryError
        except ImportError as error:
            needed = "pip install 'confluent-kafka[avro,schemaregistry]'"
            raise MissingExtraError(f"--input-format avro: {error.name} is not installed; {needed}") from error
        self._refused, self._unreachable = SchemaRegistryError, httpx2.HTTPError
        self._where = f"--schema-registry-url {address_of(settings.schema_registry_url or '')}"
        options: dict[str, Any] = {"url": settings.schema_registry_url, "timeout": settings.patience_s}
        if settings.schema_registry_user_info_file is not None:
            options["basic.auth.user.info"] = settings.schema_registry_user_info_file.read_text("utf-8").strip()
        if settings.schema_registry_cafile is not None:
            options["ssl.ca.location"] = str(settings.schema_registry_cafile)
        self._client: Any = SchemaRegistryClient.new_client(options)

    def schema(self, key: SchemaKey) -> RegisteredSchema | None:
        try:
            return fetch_schema(self._client, key)
        except self._refused as error:
            if is_unknown(error.http_status_code, error.error_code):
                return None
            raise StreamError(f"{self._where}: schema {key}: {str(error)[:200]}") from error
        except (self._unreachable, ValueError, TypeError, AttributeError, KeyError) as error:
            says = f"{type(error).__name__}: {str(error)[:200]}"
            raise StreamError(f"{self._where}: schema {key}: {says}; is a schema registry up there?") from error
