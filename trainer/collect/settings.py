"""The flags of `collect`.

Owns their names, limits and help, and what `--since` means. `command` uses them.
"""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from schemas.command_line.units import Seconds, read_seconds
from schemas.input.fields import FieldPath, FieldPaths
from schemas.input.presets import field_paths
from trainer.errors import FlagError
from trainer.file_settings import FieldSettings

HOW = "a duration (90m, 30d), an ISO 8601 time (UTC when it names no zone), or all"
_SERVER = re.compile(r"(\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9_-]{1,63}(\.[a-zA-Z0-9_-]{1,63})*\.?)(:[1-9][0-9]{0,4})?")
Topic = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]


class CollectSettings(FieldSettings):
    r"""Build a training file from what flowed through Kafka: texts with their authors' own stars.

    Reads the topics from `--since` up to their current ends, without a consumer group, so workers are not affected.
    A review's stars are its `score`, or those of a later {"review_id": ..., "score": ...} on any of the topics; the
    latest win. Deleted reviews (tombstones) are left out. Texts that differ only in case and punctuation count as one.

    Examples:
      starstream-trainer collect --bootstrap-servers kafka:9092 --out labelled.csv
      starstream-trainer collect --bootstrap-servers kafka:9092 --since 7d \
          --out labelled.csv
    """

    bootstrap_servers: Annotated[
        list[str], Field(min_length=1, description="host:port of a broker; repeat, or separate with commas.")
    ]
    topic: list[Topic] = Field(
        ["reviews", "reviews.feedback"], min_length=1, description="Reviews or feedback; repeat for more topics."
    )
    out: Annotated[Path, Field(description="CSV to write: content, score, review_id, app_id, at.")]
    id_field: Annotated[FieldPath, Field(description="Field of the review's id, as WORKER_ID_FIELD.")] = None
    app_field: Annotated[FieldPath, Field(description="Field of what was reviewed, as WORKER_APP_FIELD.")] = None
    input_format: Annotated[
        Literal["auto", "avro", "json_schema"], Field(description="Form of the values, as WORKER_INPUT_FORMAT.")
    ] = "auto"
    schema_registry_url: Annotated[str | None, Field(description="With avro: http:// or https:// of the registry.")] = (
        None
    )
    schema_registry_user_info_file: Annotated[
        Path | None, Field(description="File with user:password for it, which is never a flag.")
    ] = None
    schema_registry_cafile: Annotated[Path | None, Field(description="Certificates to trust for it, PEM.")] = None
    since: Annotated[str, Field(description=f"How far back: {HOW}.")] = "30d"
    keep_personal_data: Annotated[
        bool,
        Field(description="Do not mask e-mail addresses, phone, card and IBAN numbers; where the law allows."),
    ] = False
    labels: list[int] = Field([], description="Stars allowed; others are unusable. Default: any whole number.")
    min_reviews: Annotated[int, Field(ge=1, description="With fewer: exit code 9, and no file.")] = 1
    patience_s: Annotated[Seconds, Field(gt=0, le=86_400, description="Give up after this long without progress.")] = (
        30.0
    )
    security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"],
        Field(description="What the brokers' listener expects."),
    ] = "PLAINTEXT"
    sasl_mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None, Field(description="With SASL_*.")
    ] = None
    sasl_username: Annotated[str | None, Field(description="With SASL_*.")] = None
    sasl_password_file: Annotated[Path | None, Field(description="File with the password, which is never a flag.")] = (
        None
    )
    ssl_cafile: Annotated[Path | None, Field(description="Certificates to trust, PEM.")] = None
    ssl_certfile: Annotated[Path | None, Field(description="The client's certificate, PEM.")] = None
    ssl_keyfile: Annotated[Path | None, Field(description="Its key, PEM.")] = None

    @property
    def field_paths(self) -> FieldPaths:
        """Where the parts of a review are."""
        chosen = {"text": self.text_field, "score": self.score_field, "id": self.id_field, "app": self.app_field}
        return field_paths(self.preset, **chosen)

    @field_validator("bootstrap_servers", mode="after")
    @classmethod
    def _separate(cls, value: list[str]) -> list[str]:
        found = [part.strip() for servers in value for part in servers.split(",") if part.strip()]
        if not found or not all(_SERVER.fullmatch(server) for server in found):
            raise ValueError("takes host:port of brokers, separated by commas")
        return found

    @field_validator("since", mode="after")
    @classmethod
    def _understood(cls, value: str) -> str:
        start_of(value, datetime.now(UTC))
        return value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        named = (self.sasl_mechanism, self.sasl_username, self.sasl_password_file)
        if self.security_protocol.startswith("SASL_") and None in named:
            needed = "--sasl-mechanism, --sasl-username and --sasl-password-file"
            raise ValueError(f"--security-protocol {self.security_protocol}: needs {needed}")
        if self.input_format == "avro" and not re.fullmatch(r"(https?|mock)://\S+", self.schema_registry_url or ""):
            raise ValueError("--schema-registry-url: needed with --input-format avro; http:// or https://")
        return self

    def check_files(self) -> None:
        """Read the files that flags name, as the client will, which otherwise ends in its traceback.

        Raises:
            FlagError: one cannot be read, or is not what it should be.
        """
        registry = ("schema_registry_user_info_file", "schema_registry_cafile")
        for name in ("sasl_password_file", "ssl_cafile", "ssl_certfile", "ssl_keyfile", *registry):
            path: Path | None = getattr(self, name)
            try:
                if path is not None:
                    path.read_bytes()
            except (OSError, ValueError):
                raise FlagError(f"--{name.replace('_', '-')}: takes the path of a file that can be read") from None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # not the default one: that loads the system's, for 20 ms
        try:
            if self.ssl_cafile is not None:
                context.load_verify_locations(self.ssl_cafile)
            if self.ssl_certfile is not None:
                context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile, lambda: "")
        except (ssl.SSLError, OSError):
            raise FlagError(
                "--ssl-cafile, --ssl-certfile, --ssl-keyfile: take PEM files, the key without a password"
            ) from None


def start_of(since: str, now: datetime) -> datetime | None:
    """Return the time that `--since` means; None: from the beginning.

    Raises:
        ValueError: it is in none of the forms of `HOW`.
    """
    if since == "all":
        return None
    seconds = read_seconds(since)
    if isinstance(seconds, float):
        try:
            return now - timedelta(seconds=seconds)
        except OverflowError:
            return None  # before the calendar begins
    try:
        time = datetime.fromisoformat(since)
    except ValueError as error:
        raise ValueError(f"{since!r} is not {HOW}") from error
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
