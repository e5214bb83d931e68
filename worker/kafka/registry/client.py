"""The schema registry over confluent-kafka's client; that of Kafka itself may be either.

Owns the connection and the translation of its errors. A registry that is away, or that is overloaded, is an outage; one
that refuses us, or an address where something else answers, needs an operator; a schema that it does not have is an
answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from schemas.input.wire_format import RegisteredSchema, SchemaKey, fetch_schema, is_unknown
from worker.errors import PermanentError, ServiceError, SettingsError, TransientError
from worker.settings import WorkerSettings

SERVICE: Final = "schema_registry"
_MOST_WAIT_S: Final = 5.0  # of one request: the loop stands meanwhile
_OVERLOADED: Final = frozenset({408, 429})
_INSTALL: Final = "pip install 'confluent-kafka[avro,schemaregistry]', which is this project's extra `registry`"


class SchemaRegistry:
    """One registry, or several of a cluster that are asked in turn. For one thread.

    Raises:
        SettingsError: the packages are not installed.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self.address = settings.schema_registry_address
        try:
            import fastavro  # noqa: F401 - so that a missing one is reported now
            import httpx2
            from confluent_kafka.schema_registry import SchemaRegistryClient
            from confluent_kafka.schema_registry.error import SchemaRegistryError
        except ImportError as error:
            raise SettingsError(
                f"WORKER_SCHEMA_REGISTRY_URL: the package {error.name} is not installed; {_INSTALL}"
            ) from error
        self._refused, self._unreachable = SchemaRegistryError, httpx2.HTTPError
        self.client: Any = SchemaRegistryClient.new_client(client_options(settings))

    def schema(self, key: SchemaKey) -> RegisteredSchema | None:
        """Return a schema; None when the registry has none such.

        Raises:
            ServiceError: it is away, or refuses.
        """
        try:
            with self._translated(f"read schema {key}"):
                return fetch_schema(self.client, key)
        except _UnknownError:
            return None

    def register(self, subject: str, text: str, kind: str) -> int:
        """Return the id of a schema under a subject; it is registered unless it is there.

        Raises:
            ServiceError: the registry is away, refuses, or finds the schema incompatible with the subject's.
        """
        from confluent_kafka.schema_registry import Schema

        schema = Schema(text, kind)
        try:
            with self._translated(f"look up the schema of {subject}"):
                return int(self.client.lookup_schema(subject, schema).schema_id)
        except _UnknownError:
            with self._translated(f"register the schema of {subject} (schemas/json/ has it)"):
                return int(self.client.register_schema(subject, schema))

    def ping(self) -> None:
        """Return if the registry answers.

        Raises:
            ServiceError: it does not, or refuses.
        """
        with self._translated("list subjects"):
            self.client.get_subjects()

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        where = f"WORKER_SCHEMA_REGISTRY_URL={self.address}: {doing}"
        try:
            yield
        except self._refused as error:
            raise _of_answer(error, where) from error
        except self._unreachable as error:
            raise TransientError(SERVICE, f"{where}: {type(error).__name__}: {str(error)[:200]}") from error
        except (json.JSONDecodeError, TypeError, AttributeError, KeyError) as error:
            raise PermanentError(SERVICE, f"{where}: the answer is not a schema registry's") from error


class _UnknownError(PermanentError):
    """The registry has no such schema, subject or version."""


def _of_answer(error: Any, where: str) -> ServiceError:
    status, code = error.http_status_code, error.error_code
    says = f"{where}: HTTP status {status}: {str(error.error_message)[:200]}"
    if is_unknown(status, code):
        return _UnknownError(SERVICE, says)
    if status >= 500 or status in _OVERLOADED:
        return TransientError(SERVICE, says)
    hint = "are the credentials right?" if status in {401, 403} else "is this the address of a schema registry?"
    return PermanentError(SERVICE, f"{says}; {hint}")


def client_options(settings: WorkerSettings) -> dict[str, Any]:
    """Return the client's options; the URL must be set."""
    assert settings.schema_registry_url is not None  # noqa: S101 - `worker.settings` asks for it
    options: dict[str, Any] = {
        "url": settings.schema_registry_url.get_secret_value(),
        "timeout": min(_MOST_WAIT_S, settings.request_timeout_s),
        # One more try for a connection that the other side has closed; the loop waits for the rest.
        "max.retries": 1,
        "retries.wait.ms": 50,
        "retries.max.wait.ms": 100,
    }
    if settings.schema_registry_username is not None and settings.schema_registry_password is not None:
        password = settings.schema_registry_password.get_secret_value()
        options["basic.auth.user.info"] = f"{settings.schema_registry_username}:{password}"
    if settings.schema_registry_ssl_cafile is not None:
        options["ssl.ca.location"] = str(settings.schema_registry_ssl_cafile)
    return options
