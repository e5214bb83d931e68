"""What the adapters on confluent-kafka share: librdkafka's errors translated, and waits that end.

Owns the one place where librdkafka's error codes become ours (`test_librdkafka_errors_are_all_translated` walks them).
`options` is where a client's behaviour is set.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

from worker.errors import FencedError, PermanentError, ServiceError, TransientError
from worker.kafka.connection import connecting
from worker.settings import WorkerSettings

# Waiting does not heal these: the settings or the cluster's set-up must change.
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
# Another process has this worker's identity; going on would be a fight.
FENCED: Final[frozenset[int]] = frozenset({KafkaError.FENCED_INSTANCE_ID})
_FENCED_WORDS: Final = tuple(KafkaError(code).str() for code in FENCED)  # all that a fatal error tells of its cause
_ASK_S: Final = 1.0  # a signal is seen in time, and a refused login at once


def translate(error: KafkaError, doing: str) -> ServiceError:
    """Return our error for one of the client's: fenced and permanent ones are listed, all others come back."""
    kind: type[ServiceError] = TransientError
    fatal = error.code() == KafkaError._FATAL
    if error.code() in FENCED or (fatal and any(words in error.str() for words in _FENCED_WORDS)):
        kind = FencedError
    elif error.code() in PERMANENT:
        kind = PermanentError
    return kind("kafka", f"{doing}: {error.name()}: {error.str()[:300]}")


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn what the client raises inside into our errors.

    Raises:
        ServiceError: instead of any `KafkaException`, and of a full queue of messages.
    """
    try:
        yield
    except KafkaException as error:
        raise translate(error.args[0], doing) from error
    except BufferError as error:
        raise TransientError("kafka", f"{doing}: {error}") from error


class Errors:
    """Keeps what librdkafka says beside the calls: it goes on trying whatever happens, and raises nothing by itself."""

    def __init__(self) -> None:
        self._last: KafkaError | None = None
        self._final: KafkaError | None = None

    def note(self, error: KafkaError) -> None:
        """Take an error; called by the client, inside one of our calls."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN or self._last is None:  # what broke each tells more
            self._last = error
        if error.fatal() or error.code() in PERMANENT | FENCED | {KafkaError._FATAL}:
            self._final = error

    def forget(self) -> None:
        """What was said so far is no news any more."""
        self._last = None

    def raise_final(self, doing: str) -> None:
        """Raise what no more trying heals, if there was such a thing.

        Raises:
            ServiceError: permanent or fenced.
        """
        if self._final is None:
            return
        error = translate(self._final, doing)
        if isinstance(error, TransientError):  # the client says that this instance of it is done for
            error = PermanentError("kafka", f"{doing}: {self._final.str()[:300]}")
        raise error

    @property
    def last(self) -> str:
        """The last one in words; empty when there was none."""
        return "" if self._last is None else f" ({self._last.str()[:200]})"


def await_brokers(client: Any, serve: Callable[[], object], errors: Errors, settings: WorkerSettings) -> None:
    """Block until the brokers have answered a new client once.

    Args:
        client: a consumer or producer.
        serve: lets the client tell its errors.
        errors: where it tells them.
        settings: how long, and what the error says.

    Raises:
        ServiceError: they did not answer in time, or refused.
    """
    doing = connecting(settings)
    deadline = time.monotonic() + settings.request_timeout_s
    while True:
        left_s = deadline - time.monotonic()
        try:
            client.list_topics(settings.input_topics[0], timeout=max(0.1, min(_ASK_S, left_s)))
        except KafkaException as error:
            serve()
            errors.raise_final(doing)
            if left_s <= 0:
                raise translate(error.args[0], f"{doing}{errors.last}") from error
        else:
            return


def bounded(call: Callable[[], None], limit_s: float, doing: str) -> None:
    """Make a call of the client that may never return, whatever its own time-out; what it raises is raised.

    One that did not return in time is left behind on its thread: nothing may be done with that client any more.

    Raises:
        TransientError: it did not return in time.
    """
    raised: list[KafkaException] = []

    def run() -> None:
        try:
            call()
        except KafkaException as error:
            raised.append(error)

    thread = threading.Thread(target=run, name="bounded", daemon=True)
    thread.start()
    thread.join(limit_s)
    if thread.is_alive():
        raise TransientError("kafka", f"{doing}: no answer in {limit_s:g} s")
    if raised:
        raise raised[0]


def missing_topic(client: Any, topic: str, timeout_s: float) -> str | None:
    """Return why a topic can not be used; None when it can.

    Raises:
        KafkaException: the brokers do not answer.
    """
    found = client.list_topics(topic, timeout=timeout_s).topics.get(topic)
    if found is None:
        return "no such topic"
    return None if found.error is None else str(found.error.str())
