"""Shared by the adapters on kafka-python: its options from our settings, and the translation of its errors.

Owns the only place where kafka-python's exceptions become ours (`test_kafka_errors_are_all_translated` walks them).
The measurements behind each option are in worker/LOG.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from kafka import errors as kafka_errors
from kafka.net.compat import KafkaNetClient
from kafka.net.sasl.oauth import AbstractTokenProvider

from worker.errors import FencedError, PermanentError, ProducerFencedError, ServiceError, TransientError
from worker.kafka.connection import path_text, sasl_mechanism, secret_text
from worker.kafka.python.header_names import tolerate_header_names
from worker.kafka.tokens import Tokens, make_tokens
from worker.settings import WorkerSettings

tolerate_header_names()

# Retrying does not help: the settings or the cluster's set-up must change.
PERMANENT: Final[tuple[type[kafka_errors.KafkaError], ...]] = (
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnsupportedSaslMechanismError,
    kafka_errors.IllegalSaslStateError,
    kafka_errors.KafkaConfigurationError,
    kafka_errors.IllegalArgumentError,
    kafka_errors.UnrecognizedBrokerVersion,
    kafka_errors.UnsupportedCodecError,
    kafka_errors.InvalidTopicError,
    kafka_errors.InvalidGroupIdError,
    kafka_errors.InconsistentGroupProtocolError,
    kafka_errors.InvalidSessionTimeoutError,
)
# Another process has this worker's identity; if both went on, each would fence the other.
FENCED: Final[tuple[type[kafka_errors.KafkaError], ...]] = (kafka_errors.FencedInstanceIdError,)
PRODUCER_FENCED: Final[tuple[type[kafka_errors.KafkaError], ...]] = (
    kafka_errors.ProducerFencedError,
    kafka_errors.InvalidProducerEpochError,
)


def translate(error: kafka_errors.KafkaError, doing: str) -> ServiceError:
    """Return our error for one of the client's: fenced and permanent ones are listed, all others are transient."""
    kind: type[ServiceError] = TransientError
    if isinstance(error, FENCED):
        kind = FencedError
    elif isinstance(error, PERMANENT):
        kind = PermanentError
    elif isinstance(error, PRODUCER_FENCED):
        kind = ProducerFencedError
    return kind("kafka", f"{doing}: {str(error)[:300]}")


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn what the client raises inside into our errors.

    Raises:
        ServiceError: instead of any `KafkaError`.
    """
    try:
        yield
    except kafka_errors.KafkaError as error:
        raise translate(error, doing) from error


def make_client(kind: Callable[..., Any], config: Mapping[str, Any]) -> Any:
    """Return a `KafkaConsumer` or `KafkaProducer`, closed again if its constructor failed.

    A constructor that fails leaks its IO thread and its sockets: hundreds of each while a broker is down for an hour.
    """
    made: list[KafkaNetClient] = []

    def net_client(**options: Any) -> KafkaNetClient:
        made.append(KafkaNetClient(**options))
        return made[-1]

    try:
        return kind(**config, kafka_client=net_client)
    except kafka_errors.KafkaError:
        for client in made:
            client.close()
        raise


def client_config(settings: WorkerSettings) -> dict[str, Any]:
    """Return the options that consumer, producer and admin client share."""
    return {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "client_id": settings.kafka_client_id,
        "api_version": _version(settings.kafka_api_version),
        "request_timeout_ms": round(settings.request_timeout_s * 1000),
        "bootstrap_timeout_ms": round(settings.request_timeout_s * 1000),
        **_idle(settings),
        "reconnect_backoff_max_ms": 1000,  # the default of 30 s delays the return of a broker by up to 13.7 s
        "security_protocol": settings.kafka_security_protocol,
        "sasl_mechanism": sasl_mechanism(settings),
        "sasl_plain_username": settings.kafka_sasl_username,
        "sasl_plain_password": secret_text(settings.kafka_sasl_password),
        "sasl_oauth_token_provider": _token_provider(settings),
        "ssl_cafile": path_text(settings.kafka_ssl_cafile),
        "ssl_certfile": path_text(settings.kafka_ssl_certfile),
        "ssl_keyfile": path_text(settings.kafka_ssl_keyfile),
        "ssl_password": secret_text(settings.kafka_ssl_password),
        "ssl_check_hostname": settings.kafka_ssl_check_hostname,
    }


def _idle(settings: WorkerSettings) -> dict[str, Any]:
    """The client knows no "never", so 0 leaves its own limit."""
    idle_s = settings.kafka_connections_max_idle_s
    return {"connections_max_idle_ms": round(idle_s * 1000)} if idle_s else {}


def topic_exists(consumer: Any, topic: str) -> bool:
    """Return whether a topic exists, as the brokers say now.

    Raises:
        KafkaError: they do not answer.
    """
    try:
        return bool(consumer.partitions_for_topic(topic))
    except kafka_errors.UnknownTopicOrPartitionError:
        return False


class _Token(AbstractTokenProvider):  # type: ignore[misc]  # the client has no types
    """Gives the client its OAuth token."""

    def __init__(self, tokens: Tokens) -> None:
        super().__init__()
        self._tokens = tokens

    def token(self) -> str:
        """Return the token of this login."""
        try:
            return self._tokens.current().text
        except TransientError as error:
            raise kafka_errors.KafkaConnectionError(str(error)) from error  # the client connects again


def _token_provider(settings: WorkerSettings) -> _Token | None:
    tokens = make_tokens(settings)
    if tokens is None:
        return None
    tokens.current()  # now, because the client would only report that no broker answers
    return _Token(tokens)


def _version(version: str | None) -> tuple[int, ...] | None:
    return None if version is None else tuple(map(int, version.split(".")))
