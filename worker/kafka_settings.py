"""The settings of Kafka: brokers, security, topics, group and timeouts.

Owns their names, and which exclude each other. `worker.settings` inherits them and reads the environment.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, FilePath, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode


def _words(value: object) -> object:
    """Split `a,b`, so that a list in the environment needs no JSON."""
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


Topic = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
Words = Annotated[list[str], NoDecode, BeforeValidator(_words), Field(min_length=1)]


class KafkaSettings(BaseSettings):
    """Everything an operator can set about Kafka. Durations are seconds."""

    kafka_client: Literal["kafka-python", "confluent"] = Field(
        "kafka-python", description="confluent: librdkafka, which uses less CPU; needs the package confluent-kafka"
    )
    kafka_bootstrap_servers: Words = Field(["localhost:9092"], description="host:port of brokers, comma separated")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="protocol to the brokers"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = Field(
        None, description="mechanism, with SASL_*"
    )
    kafka_sasl_username: str | None = Field(None, description="user, with PLAIN and SCRAM")
    kafka_sasl_password: SecretStr | None = Field(None, description="password, with PLAIN and SCRAM; or ..._FILE")
    kafka_oauth_token: SecretStr | None = Field(None, description="token, with OAUTHBEARER; or ..._FILE")
    kafka_ssl_cafile: FilePath | None = Field(
        None, description="PEM file of the authority that signed the brokers' certificates"
    )
    kafka_ssl_certfile: FilePath | None = Field(
        None, description="PEM file of the client's certificate, for mutual TLS"
    )
    kafka_ssl_keyfile: FilePath | None = Field(None, description="PEM file of the client's key")
    kafka_ssl_password: SecretStr | None = Field(None, description="password of that key; or ..._FILE")
    kafka_ssl_check_hostname: bool = Field(True, description="whether the broker's certificate must name its host")
    kafka_api_version: str | None = Field(
        None,
        pattern=r"^[0-9]+\.[0-9]+$",
        description="kafka-python only: for a server that does not report its version",
    )
    kafka_client_id: str = Field("starstream", min_length=1, description="name in the brokers' logs and quotas")
    input_topics: Words = Field(["reviews"], description="topics to read, comma separated")
    output_topic: Topic = Field("ratings", description="topic for the ratings")
    dead_letter_topic: Topic = Field("reviews.dlq", description="topic for records that cannot be rated")
    group_id: str = Field("starstream", min_length=1, description="consumer group; one per deployment")
    instance_id: str | None = Field(
        None, min_length=1, description="static membership: unique in the group, the same after a restart"
    )
    auto_offset_reset: Literal["earliest", "latest"] = Field("earliest", description="where a new group starts reading")
    delivery: Literal["exactly_once", "at_least_once"] = Field(
        "exactly_once", description="exactly_once: outcomes and offsets in one Kafka transaction"
    )
    transaction_timeout_s: float = Field(
        15.0, ge=1, le=900, description="the brokers abort a transaction that is open longer"
    )
    session_timeout_s: float = Field(
        15.0, ge=1, le=300, description="a worker that is silent longer loses its partitions"
    )
    max_poll_interval_s: float = Field(120.0, ge=5, le=3600, description="longest time between two polls")
    request_timeout_s: float = Field(20.0, ge=1, le=300, description="longest wait for a broker's answer")

    @model_validator(mode="after")
    def _security_agrees(self) -> Self:
        if self.kafka_security_protocol.startswith("SASL") and self.kafka_sasl_mechanism is None:
            raise ValueError("WORKER_KAFKA_SASL_MECHANISM: needed with WORKER_KAFKA_SECURITY_PROTOCOL=SASL_*")
        if self.kafka_sasl_mechanism == "OAUTHBEARER":
            if self.kafka_oauth_token is None:
                raise ValueError("WORKER_KAFKA_OAUTH_TOKEN: needed with OAUTHBEARER")
        elif self.kafka_sasl_mechanism is not None and not (self.kafka_sasl_username and self.kafka_sasl_password):
            raise ValueError("WORKER_KAFKA_SASL_USERNAME and WORKER_KAFKA_SASL_PASSWORD: needed with PLAIN and SCRAM")
        if (self.kafka_ssl_certfile is None) != (self.kafka_ssl_keyfile is None):
            raise ValueError("WORKER_KAFKA_SSL_CERTFILE and WORKER_KAFKA_SSL_KEYFILE: give both or neither")
        return self
