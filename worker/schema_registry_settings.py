"""The settings of the schema registry: where it is, and who asks.

Owns their names. `worker.settings` inherits them; `worker.kafka.registry` connects.
"""

from __future__ import annotations

import re
import ssl
from typing import Final, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

from schemas.input.wire_format import address_of
from worker.setting_forms import ReadableFile

_URL: Final = re.compile(r"(https?|mock)://[^\s,]+")


class SchemaRegistrySettings(BaseSettings, defer_build=True):
    """What an operator can set about the schema registry."""

    schema_registry_url: SecretStr | None = Field(
        None,
        description="http:// or https:// of a registry with Confluent's API, several separated by commas, "
        "user:password@ in the first; or ..._FILE",
    )
    schema_registry_username: str | None = Field(None, description="user of the registry, or key of its API")
    schema_registry_password: SecretStr | None = Field(None, description="password of that user; or ..._FILE")
    schema_registry_ssl_cafile: ReadableFile | None = Field(
        None, description="PEM file of the authority that signed the registry's certificate"
    )

    @field_validator("schema_registry_url")
    @classmethod
    def _is_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not all(_is_address(part.strip()) for part in url.get_secret_value().split(",")):
            raise ValueError("takes http:// or https:// URLs; percent-encode a password's special characters")
        if url is not None and "@" in url.get_secret_value().partition(",")[2]:
            raise ValueError("takes user and password in the first URL only; the others get the same")
        return url

    @model_validator(mode="after")
    def _schema_registry_agrees(self) -> Self:
        url = self.schema_registry_url.get_secret_value() if self.schema_registry_url else ""
        if (self.schema_registry_username is None) != (self.schema_registry_password is None):
            raise ValueError(
                "WORKER_SCHEMA_REGISTRY_USERNAME and WORKER_SCHEMA_REGISTRY_PASSWORD: give both or neither"
            )
        if self.schema_registry_username is not None and "@" in url:
            raise ValueError("WORKER_SCHEMA_REGISTRY_USERNAME: WORKER_SCHEMA_REGISTRY_URL has a user already")
        if self.schema_registry_ssl_cafile is not None:
            try:
                ssl.create_default_context(cafile=str(self.schema_registry_ssl_cafile))
            except (ssl.SSLError, OSError):
                raise ValueError("WORKER_SCHEMA_REGISTRY_SSL_CAFILE: takes a PEM file of certificates") from None
        return self

    @property
    def schema_registry_address(self) -> str:
        """The URL as it may be shown: without user and password."""
        url = self.schema_registry_url.get_secret_value() if self.schema_registry_url else ""
        return address_of(url)


def _is_address(url: str) -> bool:
    try:
        return _URL.fullmatch(url) is not None and bool(urlsplit(url).hostname) and urlsplit(url).port != 0
    except ValueError:  # its port is no number
        return False
