"""The worker's settings; `worker.environment` reads the environment for them.

Owns names, limits, defaults, and which settings exclude each other. A setting is a variable `WORKER_<NAME>`, a line of
`.env`, or a flag `--<name>`; a flag wins over the environment, and the environment over `.env`. A secret may also come
from the file that `WORKER_<NAME>_FILE` names. Frozen once read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from schemas.channels import CHANNEL_PATTERN, STABLE
from schemas.command_line.forms import fault_lines
from schemas.command_line.units import Bytes, Seconds
from worker.environment import DOTENV, PREFIX, SecretFiles, environment, read_dotenv, unknown_names
from worker.errors import SettingsError
from worker.input_settings import InputSettings
from worker.kafka_settings import KafkaSettings
from worker.redis_settings import RedisSettings
from worker.rest_settings import RestSettings
from worker.schema_registry_settings import SchemaRegistrySettings
from worker.setting_forms import Apps, Endpoint, Host, Topic, Version, tidy

Runtime = Literal["auto", "litert", "tflite"]
ReasonsMode = Literal["off", "low", "all"]
StarterMode = Literal["auto", "on", "off"]


# The parents are never used alone: they defer their build, which saves a tenth of the CPU of a start.
class WorkerSettings(RedisSettings, KafkaSettings, InputSettings, SchemaRegistrySettings, RestSettings):
    """Everything an operator can set. Durations are seconds, sizes are bytes or records."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=DOTENV,
        env_file_encoding="utf-8-sig",
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        protected_namespaces=(),
        validate_default=True,
    )

    # Poison
    max_attempts: int = Field(
        3, ge=0, le=100, description="crashes in a row before records are tried one by one, then rejected; 0: off"
    )
    breaker_share: float = Field(
        0.5, gt=0, le=1, description="the breaker opens at a larger share of dead letters; 1: off"
    )
    breaker_window_records: int = Field(1000, ge=10, le=100_000, description="last records that count for it")
    breaker_consecutive: int = Field(
        500, ge=0, le=1_000_000_000, description="the breaker opens at this many in a row; 0: off"
    )
    max_message_bytes: Bytes = Field(
        1_000_000,
        ge=10_000,
        le=1_000_000_000,
        description="the brokers' limit; a larger dead letter is truncated and marked so",
    )

    # Model
    registry: str = Field("models", min_length=1, description="folder or fsspec URL of the bundles")
    channel: str = Field(STABLE, pattern=CHANNEL_PATTERN, description="channel whose version serves")
    starter: StarterMode = Field(
        "auto",
        description="rate with the starter, which comes with this package, while the registry has no bundle; "
        "auto: predict, explain and serve do, run does not",
    )
    model_version: Version | None = Field(None, description="serve this version, whatever the channel names")
    reload_interval_s: Seconds = Field(
        5.0, ge=0, le=3600, description="time between two checks of the channels; 0: no checks"
    )
    reload_retry_s: Seconds = Field(300.0, ge=1, le=86_400, description="time before a refused version is tried again")
    shadow_channel: str | None = Field(
        None, pattern=CHANNEL_PATTERN, description="channel whose version runs in shadow, such as candidate"
    )
    shadow_topic: Topic | None = Field(None, description="topic for the shadow model's ratings, best effort")
    shadow_max_errors: int = Field(
        5, ge=1, le=100, description="failures in 100 calls that switch the shadow model off"
    )
    canary_share: float = Field(0.0, ge=0, le=1, description="share of reviews that get the shadow model's rating")
    canary_max_disagreement: float = Field(
        0.4, ge=0, le=1, description="the canary ends at a larger share of other stars; 1: never"
    )
    canary_window_reviews: int = Field(2000, ge=10, le=1_000_000, description="last reviews that count for it")
    canary_min_reviews: int = Field(500, ge=10, le=1_000_000, description="the canary decides nothing on fewer reviews")
    feedback_topic: Topic | None = Field(
        None, description='topic of {"review_id", "score"}: authors\' stars that arrive later, joined through Redis'
    )
    drift_window_reviews: int = Field(10_000, ge=100, le=10_000_000, description="most reviews in the window for drift")
    drift_window_s: Seconds = Field(3600.0, ge=1, le=7 * 86_400, description="longest age of a review in that window")
    drift_min_reviews: int = Field(500, ge=50, le=10_000_000, description="no drift is reported on fewer reviews")
    min_confidence: float | None = Field(
        None, ge=0, le=1, description="a rating with less confidence is marked uncertain; empty: the bundle's own limit"
    )
    reasons: ReasonsMode = Field(
        "off",
        description="ratings that name the three words behind them: low (below the middle of the stars), all",
    )
    runtime: Runtime = Field("auto", description="auto: ai-edge-litert where installed, else tflite-runtime")

    # Batching
    batch_reviews: int = Field(2000, ge=1, le=20_000, description="most records in a batch, and so in a commit")
    batch_bytes: Bytes = Field(4_000_000, ge=1_000, le=64_000_000, description="most bytes of values in a batch")
    batch_tokens: int = Field(200_000, ge=1_000, le=10_000_000, description="most tokens in a batch, estimated")
    linger_s: Seconds = Field(0.010, ge=0, le=10, description="longest time a record waits for its batch to fill")

    # Process
    processes: int = Field(1, ge=1, le=64, description="worker processes under one supervisor")
    drain_deadline_s: Seconds = Field(20.0, ge=0, le=600, description="longest time from SIGTERM to the end")
    http_host: Host = Field("::", description="address of /metrics, /livez and /readyz; ::, all of IPv6 and IPv4")
    http_port: int = Field(9464, ge=0, le=65535, description="port of the same; 0: any free port, which is logged")
    app_metrics: Apps = Field(
        [], description="apps whose ratings and stars are metrics of their own, comma separated, at most 50"
    )
    app_metrics_versions: int = Field(
        5, ge=0, le=20, description="newest versions of each of these apps that have metrics of their own; 0: none"
    )
    otlp_endpoint: Endpoint | None = Field(
        None, description="collector of traces, such as http://localhost:4317 (OTLP over gRPC); none: no traces"
    )
    trace_share: float = Field(0.01, ge=0, le=1, description="share of batches, and of requests to `serve`, to trace")
    trace_follow: bool = Field(
        False, description="trace also each batch with a review whose producer keeps its trace; costs more"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="lowest level logged")
    log_format: Literal["auto", "json", "text"] = Field("auto", description="auto: text on a terminal, json elsewhere")
    slot: int = Field(0, ge=0, le=63, description="number of a supervised process; the supervisor sets it")
    status_file: Path | None = Field(None, description="file for its status; the supervisor sets it")

    @field_validator("*", mode="before")
    @classmethod
    def _tidy(cls, value: object, info: ValidationInfo) -> object:
        return tidy(value, cls.model_fields[info.field_name or ""].annotation)

    @model_validator(mode="after")
    def _limits_agree(self) -> Self:
        if self.transaction_timeout_s + self.request_timeout_s > self.max_poll_interval_s:
            raise ValueError(
                "WORKER_TRANSACTION_TIMEOUT_S + WORKER_REQUEST_TIMEOUT_S: must be under WORKER_MAX_POLL_INTERVAL_S, "
                "or the worker loses its partitions during a slow commit"
            )
        if self.kafka_client == "confluent" and self.session_timeout_s > self.max_poll_interval_s:
            raise ValueError(
                f"WORKER_SESSION_TIMEOUT_S: {self.session_timeout_s:g} is over WORKER_MAX_POLL_INTERVAL_S="
                f"{self.max_poll_interval_s:g}, which WORKER_KAFKA_CLIENT=confluent does not allow; lower it"
            )
        if self.delivery == "exactly_once" and self.redis_timeout_s * 2 >= self.transaction_timeout_s:
            raise ValueError(
                f"WORKER_REDIS_TIMEOUT_S: {self.redis_timeout_s:g} must be under half of WORKER_TRANSACTION_TIMEOUT_S="
                f"{self.transaction_timeout_s:g}: a call to Redis is retried once while a transaction is open"
            )
        if self.linger_s * 2 > self.max_poll_interval_s:
            raise ValueError("WORKER_LINGER_S: must be under half of WORKER_MAX_POLL_INTERVAL_S")
        if self.drain_deadline_s >= self.max_poll_interval_s:
            raise ValueError("WORKER_DRAIN_DEADLINE_S: must be under WORKER_MAX_POLL_INTERVAL_S")
        if self.schema_registry_url is None and self.input_format == "avro":
            raise ValueError("WORKER_SCHEMA_REGISTRY_URL: needed with WORKER_INPUT_FORMAT=avro, for the schemas")
        if self.schema_registry_url is None and self.output_format in {"avro", "json_schema"}:
            raise ValueError(f"WORKER_SCHEMA_REGISTRY_URL: needed with WORKER_OUTPUT_FORMAT={self.output_format}")
        self._check_models()
        clash = {self.output_topic, self.dead_letter_topic} & set(self.input_topics)
        if clash or self.output_topic == self.dead_letter_topic:
            raise ValueError(
                f"WORKER_OUTPUT_TOPIC={self.output_topic}, WORKER_DEAD_LETTER_TOPIC={self.dead_letter_topic}: "
                f"must differ from each other and from WORKER_INPUT_TOPICS={','.join(self.input_topics)}"
            )
        return self

    def _check_models(self) -> None:
        if self.shadow_channel is not None and self.reload_interval_s == 0:
            raise ValueError(
                "WORKER_SHADOW_CHANNEL: needs WORKER_RELOAD_INTERVAL_S over 0, or the channel is never checked"
            )
        for name, is_set in (("CANARY_SHARE", self.canary_share > 0), ("SHADOW_TOPIC", self.shadow_topic is not None)):
            if is_set and self.shadow_channel is None:
                raise ValueError(f"WORKER_{name}: needs WORKER_SHADOW_CHANNEL, the channel of the shadow model")
        for part in ("canary", "drift"):
            minimum, window = getattr(self, f"{part}_min_reviews"), getattr(self, f"{part}_window_reviews")
            if minimum > window:
                name = f"WORKER_{part.upper()}"
                raise ValueError(f"{name}_MIN_REVIEWS: {minimum} is over {name}_WINDOW_REVIEWS={window}; lower it")
        taken = {*self.input_topics, self.output_topic, self.dead_letter_topic}
        if self.shadow_topic in {*taken, self.feedback_topic} - {None}:
            raise ValueError(
                f"WORKER_SHADOW_TOPIC={self.shadow_topic}: another setting uses this topic; choose one of its own"
            )
        if self.feedback_topic in taken:
            raise ValueError(
                f"WORKER_FEEDBACK_TOPIC={self.feedback_topic}: another setting uses this topic; choose one of its own"
            )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put `WORKER_<NAME>_FILE` after the environment, and one in `.env` after that."""
        del file_secret_settings
        assert isinstance(dotenv_settings, DotEnvSettingsSource)  # noqa: S101
        own, of_file = (SecretFiles(settings_cls, named) for named in (environment(), dotenv_settings.env_vars))
        return init_settings, env_settings, own, dotenv_settings, of_file


def read_settings(given: Mapping[str, object] | None = None) -> WorkerSettings:
    """Return the settings from flags, environment, secret files and `.env`.

    Args:
        given: what flags gave, by the setting's name.

    Raises:
        SettingsError: one line for each wrong setting, with what it takes.
    """
    read_dotenv()  # refuses what the source below would end on
    lists = {name: ",".join(value) for name, value in (given or {}).items() if isinstance(value, list)}
    typed: dict[str, Any] = {**(given or {}), **lists}

    def called(name: str) -> str:
        return f"--{name.replace('_', '-')}" if name in typed else f"{PREFIX}{name.upper()}"

    try:
        return WorkerSettings(**typed)
    except ValidationError as error:
        raise SettingsError("\n".join(fault_lines(error, WorkerSettings, called, typed))) from None


def warnings_about(settings: WorkerSettings) -> list[str]:
    """Return a line for each name that is no setting, and for each setting that has no effect."""
    return [*unknown_names(WorkerSettings), *settings.unused()]
