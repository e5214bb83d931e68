"""The settings of Kafka: brokers, security, topics, group and timeouts.

Owns their names, and which exclude each other. `worker.settings` inherits them.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

from schemas.command_line.units import Seconds
from worker.setting_forms import Identity, Patterns, ReadableFile, Servers, Topic, Topics


class KafkaSettings(BaseSettings, defer_build=True):
    """Everything an operator can set about Kafka. Durations are seconds."""

    kafka_client: Literal["kafka-python", "confluent"] = Field(
        "kafka-python", description="confluent: librdkafka, which uses less CPU; needs the package confluent-kafka"
    )
    kafka_bootstrap_servers: Servers = Field(["localhost:9092"], description="host:port of brokers, comma separated")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="protocol to the brokers"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM"] | None = (
        Field(None, description="mechanism, with SASL_*; AWS_MSK_IAM needs the extra msk")
    )
    kafka_sasl_username: str | None = Field(None, description="user, with PLAIN and SCRAM")
    kafka_sasl_password: SecretStr | None = Field(None, description="password, with PLAIN and SCRAM; or ..._FILE")
    kafka_oauth_token: SecretStr | None = Field(None, description="token, with OAUTHBEARER, as long as it is valid")
    kafka_oauth_token_file: ReadableFile | None = Field(
        None, description="file with the token, read again before it expires"
    )
    kafka_oauth_command: str | None = Field(
        None, min_length=1, description="command that prints the token, run again before it expires"
    )
    kafka_aws_region: str | None = Field(None, min_length=1, description="region of the cluster, with AWS_MSK_IAM")
    kafka_ssl_cafile: ReadableFile | None = Field(
        None, description="PEM file of the authority that signed the brokers' certificates"
    )
    kafka_ssl_certfile: ReadableFile | None = Field(
        None, description="PEM file of the client's certificate, for mutual TLS"
    )
    kafka_ssl_keyfile: ReadableFile | None = Field(None, description="PEM file of the client's key")
    kafka_ssl_password: SecretStr | None = Field(None, description="password of that key; or ..._FILE")
    kafka_ssl_check_hostname: bool = Field(True, description="whether the broker's certificate must name its host")
    kafka_api_version: str | None = Field(
        None,
        pattern=r"^[0-9]{1,3}\.[0-9]{1,3}$",
        description="kafka-python only: for a server that does not report its version",
    )
    kafka_client_id: str = Field(
        "starstream", min_length=1, max_length=200, description="name in the brokers' logs and quotas"
    )
    kafka_rack: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="this worker's rack or zone: reads from the nearest replica (client.rack)",
    )
    kafka_dns_lookup: Literal["use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"] = Field(
        "use_all_dns_ips",
        description="confluent only: resolve_canonical_bootstrap_servers_only where the bootstrap name is an alias",
    )
    kafka_connections_max_idle_s: Seconds = Field(
        0.0,
        ge=0,
        le=86_400,
        description="close a connection that is idle longer; 0: confluent never, kafka-python 9 min",
    )
    input_topics: Topics = Field(["reviews"], description="topics to read, comma separated")
    output_topic: Topic = Field("ratings", description="topic for the ratings")
    output_format: Literal["json", "cloudevents", "cloudevents_structured", "avro", "json_schema"] = Field(
        "json", description="format of the ratings; avro and json_schema are a schema registry's wire format"
    )
    pass_headers: Patterns = Field(
        [],
        description="headers of a review's record that its rating gets too, such as x-tenant,x-shop-*; traceparent, "
        "tracestate and baggage always",
    )
    dead_letter_topic: Topic = Field("reviews.dlq", description="topic for records that cannot be rated")
    group_id: str = Field("starstream", min_length=1, max_length=200, description="consumer group; one per deployment")
    kafka_group_protocol: Literal["classic", "consumer"] = Field(
        "classic",
        description="consumer: KIP-848, the brokers (from 4.0) assign the partitions; confluent only",
    )
    instance_id: Identity | None = Field(
        None, description="static membership: unique in the group, the same after a restart"
    )
    auto_offset_reset: Literal["earliest", "latest"] = Field("earliest", description="where a new group starts reading")
    delivery: Literal["exactly_once", "at_least_once"] = Field(
        "exactly_once", description="exactly_once: outcomes and offsets in one Kafka transaction"
    )
    transaction_timeout_s: Seconds = Field(
        15.0, ge=1, le=900, description="the brokers abort a transaction that is open longer"
    )
    session_timeout_s: Seconds = Field(
        15.0, ge=1, le=300, description="a worker that is silent longer loses its partitions"
    )
    max_poll_interval_s: Seconds = Field(120.0, ge=5, le=3600, description="longest time between two polls")
    request_timeout_s: Seconds = Field(20.0, ge=1, le=300, description="longest wait for a broker's answer")

    @model_validator(mode="after")
    def _idle_agrees(self) -> Self:
        if 0 < self.kafka_connections_max_idle_s <= self.request_timeout_s:
            raise ValueError(
                "WORKER_KAFKA_CONNECTIONS_MAX_IDLE_S: must be 0 or more than WORKER_REQUEST_TIMEOUT_S, "
                "because a connection that waits for an answer is idle"
            )
        return self

    @model_validator(mode="after")
    def _security_agrees(self) -> Self:
        if self.kafka_security_protocol.startswith("SASL") and self.kafka_sasl_mechanism is None:
            raise ValueError("WORKER_KAFKA_SASL_MECHANISM: needed with WORKER_KAFKA_SECURITY_PROTOCOL=SASL_*")
        if self.kafka_sasl_mechanism == "OAUTHBEARER":
            if not (self.kafka_oauth_token or self.kafka_oauth_token_file or self.kafka_oauth_command):
                raise ValueError(
                    "WORKER_KAFKA_OAUTH_TOKEN, WORKER_KAFKA_OAUTH_TOKEN_FILE or WORKER_KAFKA_OAUTH_COMMAND: "
                    "needed with OAUTHBEARER"
                )
        elif self.kafka_sasl_mechanism == "AWS_MSK_IAM":
            if self.kafka_aws_region is None:
                raise ValueError("WORKER_KAFKA_AWS_REGION: needed with AWS_MSK_IAM")
            if self.kafka_security_protocol != "SASL_SSL":
                raise ValueError("WORKER_KAFKA_SECURITY_PROTOCOL: must be SASL_SSL with AWS_MSK_IAM")
        elif self.kafka_sasl_mechanism is not None and not (self.kafka_sasl_username and self.kafka_sasl_password):
            raise ValueError("WORKER_KAFKA_SASL_USERNAME and WORKER_KAFKA_SASL_PASSWORD: needed with PLAIN and SCRAM")
        if (self.kafka_ssl_certfile is None) != (self.kafka_ssl_keyfile is None):
            raise ValueError("WORKER_KAFKA_SSL_CERTFILE and WORKER_KAFKA_SSL_KEYFILE: give both or neither")
        if self.kafka_group_protocol == "consumer" and self.kafka_client != "confluent":
            raise ValueError(
                "WORKER_KAFKA_GROUP_PROTOCOL=consumer: needs WORKER_KAFKA_CLIENT=confluent; "
                "kafka-python speaks the classic protocol only"
            )
        self._check_certificates()
        return self

    def _check_certificates(self) -> None:
        """Load the files as a client would, which otherwise ends in its traceback at the first connection."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # not the default one: that loads the system's, for 20 ms
        password = self.kafka_ssl_password.get_secret_value() if self.kafka_ssl_password else ""
        try:
            if self.kafka_ssl_cafile is not None:
                context.load_verify_locations(self.kafka_ssl_cafile)
        except (ssl.SSLError, OSError):
            raise ValueError("WORKER_KAFKA_SSL_CAFILE: takes a PEM file of certificates") from None
        try:
            if self.kafka_ssl_certfile is not None:
                context.load_cert_chain(self.kafka_ssl_certfile, self.kafka_ssl_keyfile, lambda: password)
        except (ssl.SSLError, OSError, ValueError):
            raise ValueError(
                "WORKER_KAFKA_SSL_CERTFILE and WORKER_KAFKA_SSL_KEYFILE: take PEM files of a certificate and its key; "
                "the password of a key that has one is WORKER_KAFKA_SSL_PASSWORD"
            ) from None

    def unused(self) -> Iterator[str]:
        """Yield a line for each setting that has no effect because of another."""
        if self.kafka_dns_lookup != "use_all_dns_ips" and self.kafka_client != "confluent":
            yield f"WORKER_KAFKA_DNS_LOOKUP: not used with WORKER_KAFKA_CLIENT={self.kafka_client}; it takes confluent"
        if self.kafka_group_protocol == "consumer" and "session_timeout_s" in self.model_fields_set:
            yield "WORKER_SESSION_TIMEOUT_S: not used with WORKER_KAFKA_GROUP_PROTOCOL=consumer; the brokers set it"
        protocol = self.kafka_security_protocol
        for names, needed in (
            (("SASL_MECHANISM", "SASL_USERNAME", "SASL_PASSWORD", "OAUTH_TOKEN"), "SASL"),
            (("SSL_CAFILE", "SSL_CERTFILE"), "SSL"),
        ):
            found = [name for name in names if getattr(self, f"kafka_{name.lower()}") is not None]
            if found and needed not in protocol:
                takes = "SASL_SSL or SASL_PLAINTEXT" if needed == "SASL" else "SSL or SASL_SSL"
                named = ", ".join(f"WORKER_KAFKA_{name}" for name in found)
                yield f"{named}: not used with WORKER_KAFKA_SECURITY_PROTOCOL={protocol}; it takes {takes}"
