"""librdkafka's errors become ours, and its calls end."""

from __future__ import annotations

import threading
from contextlib import nullcontext

import pytest
from confluent_kafka import KafkaError, KafkaException

from worker.errors import FencedError, PermanentError, TransientError
from worker.kafka.confluent.client import FENCED, PERMANENT, CallbackErrors, call_with_timeout, translate, translated


def codes() -> dict[str, int]:
    return {
        name: getattr(KafkaError, name)
        for name in dir(KafkaError)
        if name.isupper() and isinstance(getattr(KafkaError, name), int)
    }


def test_librdkafka_errors_are_all_translated() -> None:
    found: dict[str, set[str]] = {}
    for name, code in codes().items():
        error = translate(KafkaError(code), "doing")
        assert str(error).startswith("kafka: doing: ")
        found.setdefault(type(error).__name__, set()).add(name)
    assert found.pop("FencedError") == {"FENCED_INSTANCE_ID"}
    assert found.pop("ProducerFencedError") == {"INVALID_PRODUCER_EPOCH", "PRODUCER_FENCED", "_FENCED"}
    # On purpose: retrying does not help with these. A code that a new release adds is transient until it is listed.
    assert found.pop("PermanentError") == {
        "ILLEGAL_SASL_STATE",
        "INCONSISTENT_GROUP_PROTOCOL",
        "INVALID_GROUP_ID",
        "INVALID_SESSION_TIMEOUT",
        "SASL_AUTHENTICATION_FAILED",
        "TOPIC_EXCEPTION",
        "UNSUPPORTED_SASL_MECHANISM",
        "_AUTHENTICATION",
        "_INVALID_ARG",
        "_UNSUPPORTED_FEATURE",
    }
    assert len(found.pop("TransientError")) > 150
    assert found == {}
    assert not FENCED & PERMANENT


def test_librdkafka_exceptions_are_translated_and_keep_their_cause() -> None:
    cause = KafkaException(KafkaError(KafkaError._TIMED_OUT, "late"))
    with pytest.raises(TransientError, match="kafka: poll: _TIMED_OUT: late") as caught, translated("poll"):
        raise cause
    assert caught.value.__cause__ is cause
    with pytest.raises(TransientError, match="kafka: publish: Local: Queue full"), translated("publish"):
        raise BufferError("Local: Queue full")
    with pytest.raises(ZeroDivisionError), translated("poll"):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (KafkaError._ALL_BROKERS_DOWN, "2/2 brokers are down", None),
        (KafkaError._AUTHENTICATION, "SASL authentication error: no", PermanentError),
        (KafkaError._FATAL, "broken", PermanentError),
        # A replaced static member: librdkafka reports a fatal error, with the cause in its text only.
        (KafkaError._FATAL, f"Fatal error: {KafkaError(KafkaError.FENCED_INSTANCE_ID).str()}", FencedError),
    ],
    ids=["brokers down", "password", "fatal", "fenced"],
)
def test_a_callback_error_is_raised_when_no_retry_helps(code: int, text: str, kind: type[Exception] | None) -> None:
    errors = CallbackErrors()
    errors.note(KafkaError(code, text))
    assert text in errors.last
    with nullcontext() if kind is None else pytest.raises(kind, match=text):
        errors.raise_fatal("poll")


def test_an_instance_id_that_is_still_held_is_told_once_and_is_no_longer_fatal() -> None:
    errors = CallbackErrors()
    assert not errors.take_held()
    held = KafkaError(KafkaError.UNRELEASED_INSTANCE_ID).str()
    errors.note(KafkaError(KafkaError._FATAL, f"Fatal error: {held}: ConsumerGroupHeartbeat fatal error: {held}"))
    assert errors.take_held()
    errors.raise_fatal("poll")
    assert not errors.take_held()
    errors.note(KafkaError(KafkaError._FATAL, "broken"))
    assert not errors.take_held(), "another fatal error stays one"
    with pytest.raises(PermanentError, match="broken"):
        errors.raise_fatal("poll")


def test_a_call_that_never_returns_times_out() -> None:
    never = threading.Event()
    with pytest.raises(TransientError, match=r"commit: no answer in 0\.05 s"):
        call_with_timeout(lambda: setattr(never, "waited", never.wait(20)), 0.05, "commit")
    never.set()


def test_an_error_of_a_call_with_timeout_is_raised() -> None:
    def refused() -> None:
        raise KafkaException(KafkaError(KafkaError.ILLEGAL_GENERATION))

    with pytest.raises(KafkaException):
        call_with_timeout(refused, 20, "commit")
    call_with_timeout(lambda: None, 20, "commit")
