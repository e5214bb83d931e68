"""Shared by the adapters on confluent-kafka: translates librdkafka's errors, and bounds its waits.

Owns the only place where librdkafka's error codes become ours (`test_librdkafka_errors_are_all_translated` walks them).
A client's options are in `options`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin._acl import AclOperation

from worker.errors import FencedError, PermanentError, ProducerFencedError, ServiceError, TransientError
from worker.kafka.connection import connection_hint
from worker.kafka.tokens import Tokens
from worker.settings import WorkerSettings

# Retrying does not help: the settings or the cluster's set-up must change.
PERMANENT: Final[frozenset[int]] = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.ILLEGAL_SASL_STATE,
        KafkaError._INVALID_ARG,
        KafkaError._UNSUPPORTED_FEATURE,
        KafkaError.TOPIC_EXCEPTION,  # the name of a topic is not valid
        KafkaError.INVALID_GROUP_ID,
        KafkaError.INCONSISTENT_GROUP_PROTOCOL,
        KafkaError.INVALID_SESSION_TIMEOUT,
    }
)
# Another process has this worker's identity; if both went on, each would fence the other.
FENCED: Final[frozenset[int]] = frozenset({KafkaError.FENCED_INSTANCE_ID})
PRODUCER_FENCED: Final[frozenset[int]] = frozenset(
    {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}
)
_FENCED_WORDS: Final = tuple(KafkaError(code).str() for code in FENCED)  # a fatal error has its cause in its text only
# A killed static member of KIP-848 holds its instance id until its session ends; librdkafka takes that for fatal.
_HELD_WORDS: Final = KafkaError(KafkaError.UNRELEASED_INSTANCE_ID).str()
_RENEWING_S: Final = 30.0  # the client asks for a token again after ten seconds
ANSWER_GRACE_S: Final = 1.0  # beyond a request's time-out, for the client to report that by itself
_ATTEMPT_S: Final = 1.0  # so that a signal is noticed in time, and a refused login at once


def translate(error: KafkaError, doing: str) -> ServiceError:
    """Return our error for one of the client's: fenced and permanent ones are listed, all others are transient."""
    kind: type[ServiceError] = TransientError
    fatal = error.code() == KafkaError._FATAL
    if error.code() in FENCED or (fatal and any(words in error.str() for words in _FENCED_WORDS)):
        kind = FencedError
    elif error.code() in PERMANENT:
        kind = PermanentError
    elif error.code() in PRODUCER_FENCED:
        kind = ProducerFencedError
    return kind("kafka", f"{doing}: {error.name()}: {error.str()[:300]}")


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn what the client raises inside into our errors.

    Raises:
        ServiceError: instead of any `KafkaException`, of a full queue of messages, and of a future without an answer.
    """
    try:
        yield
    except KafkaException as error:
        raise translate(error.args[0], doing) from error
    except (BufferError, TimeoutError) as error:
        raise TransientError("kafka", f"{doing}: {error or 'no answer'}") from error


class CallbackErrors:
    """Keeps the errors that librdkafka reports to its callback: it retries always, and raises none of them."""

    def __init__(self) -> None:
        self._last: KafkaError | None = None
        self._fatal: KafkaError | None = None
        self._token_error: TransientError | None = None  # why there is no token; the client asks again by itself
        self._renewing_until = 0.0  # the brokers refuse the old token, which is no wrong credential

    def token(self, tokens: Tokens) -> tuple[str, float]:
        """Return a token and when it expires, as the client's callback for OAuth."""
        try:
            found = tokens.current()
        except TransientError as error:
            self._token_error = error
            self._renewing_until = time.monotonic() + _RENEWING_S
            raise
        self._token_error = None
        return found.text, found.expires_at

    def note(self, error: KafkaError) -> None:
        """Keep an error; the client calls this inside one of our calls."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN or self._last is None:  # the errors of single brokers say more
            self._last = error
        if error.code() == KafkaError._AUTHENTICATION and time.monotonic() < self._renewing_until:
            return
        if error.fatal() or error.code() in PERMANENT | FENCED | {KafkaError._FATAL}:
            self._fatal = error

    def clear_last(self) -> None:
        """Forget the last error: it is resolved."""
        self._last = None

    def take_held(self) -> bool:
        """Return whether the instance id is held by another member, and forget it: a new client may join later."""
        held = self._fatal is not None and _HELD_WORDS in self._fatal.str()
        if held:
            self._fatal = None
        return held

    def raise_fatal(self, doing: str) -> None:
        """Raise the last error that retrying does not help against, if there was one.

        Raises:
            ServiceError: permanent or fenced, or there is no token at the moment.
        """
        if self._token_error is not None:
            raise self._token_error
        if self._fatal is None:
            return
        error = translate(self._fatal, doing)
        if isinstance(error, TransientError):  # the client reports that this instance cannot be used any more
            error = PermanentError("kafka", f"{doing}: {self._fatal.str()[:300]}")
        raise error

    def raise_fenced(self, doing: str) -> None:
        """Raise the error that ended a producer, if another one has its transactional id.

        Raises:
            ProducerFencedError: another one has.
        """
        if self._fatal is not None and self._fatal.code() in PRODUCER_FENCED:
            raise translate(self._fatal, doing)

    @property
    def last(self) -> str:
        """The last error's text in parentheses; empty when there was none."""
        return "" if self._last is None else f" ({self._last.str()[:200]})"


def await_brokers(client: Any, poll: Callable[[], object], errors: CallbackErrors, settings: WorkerSettings) -> None:
    """Block until the brokers have answered a new consumer or producer once; `poll` makes it report to `errors`.

    Raises:
        ServiceError: they did not answer in time, or refused.
    """
    doing = connection_hint(settings)
    deadline = time.monotonic() + settings.request_timeout_s
    while True:
        left_s = deadline - time.monotonic()
        try:
            client.list_topics(settings.input_topics[0], timeout=max(0.1, min(_ATTEMPT_S, left_s)))
        except KafkaException as error:
            poll()
            errors.raise_fatal(doing)
            if left_s <= 0:
                raise translate(error.args[0], f"{doing}{errors.last}") from error
        else:
            return


def call_with_timeout(call: Callable[[], None], timeout_s: float, doing: str) -> None:
    """Make a call of the client that may never return, whatever its own time-out, and raise what it raises.

    A call that does not return in time stays on its thread; do not use that client any more.

    Raises:
        TransientError: it did not return in time.
    """
    raised: list[KafkaException] = []

    def run() -> None:
        try:
            call()
        except KafkaException as error:
            raised.append(error)

    thread = threading.Thread(target=run, name="call-with-timeout", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if thread.is_alive():
        raise TransientError("kafka", f"{doing}: no answer in {timeout_s:g} s")
    if raised:
        raise raised[0]


def raise_first_error(partitions: Sequence[Any]) -> None:
    """Raise the first error that an answer holds for one of its partitions.

    Raises:
        KafkaException: there is one.
    """
    for at in partitions:
        if at.error is not None:
            raise KafkaException(at.error)


def missing_topic(client: Any, topic: str, timeout_s: float) -> str | None:
    """Return why a topic cannot be used; None when it can.

    Raises:
        KafkaException: the brokers do not answer.
    """
    found = client.list_topics(topic, timeout=timeout_s).topics.get(topic)
    if found is None:
        return "no such topic"
    return None if found.error is None else str(found.error.str())


def may_write(admin: Any, topic: str, timeout_s: float) -> bool:
    """Return whether the brokers let this user write to a topic that exists.

    Raises:
        KafkaException: the brokers do not answer.
    """
    wanted = TopicCollection([topic])
    answers = admin.describe_topics(wanted, include_authorized_operations=True, request_timeout=timeout_s)
    allowed = answers[topic].result(timeout_s + ANSWER_GRACE_S).authorized_operations
    return allowed is None or AclOperation.WRITE in allowed
