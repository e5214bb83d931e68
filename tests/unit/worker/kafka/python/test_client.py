"""kafka-python's errors: every class is translated."""

from __future__ import annotations

import inspect

import pytest
from kafka import errors as kafka_errors

from worker.errors import TransientError
from worker.kafka.python.client import translate, translated


def test_kafka_errors_are_all_translated() -> None:
    found: dict[str, set[str]] = {}
    for name, kind in inspect.getmembers(kafka_errors, inspect.isclass):
        if issubclass(kind, Exception) and kind.__module__ == kafka_errors.__name__:
            assert issubclass(kind, kafka_errors.KafkaError), name
            error = kind.__new__(kind)  # some have required arguments; only the class matters here
            error.args = ("the server's words",)
            ours = translate(error, "doing")
            assert str(ours).startswith("kafka: doing: ")
            found.setdefault(type(ours).__name__, set()).add(name)
    assert found.pop("FencedError") == {"FencedInstanceIdError"}
    assert found.pop("ProducerFencedError") == {"InvalidProducerEpochError", "ProducerFencedError"}
    # On purpose: retrying does not help with these. A class that a new release adds is transient until it is listed.
    assert found.pop("PermanentError") == {
        "IllegalArgumentError",
        "IllegalSaslStateError",
        "InconsistentGroupProtocolError",
        "InvalidGroupIdError",
        "InvalidSessionTimeoutError",
        "InvalidTopicError",
        "KafkaConfigurationError",
        "SaslAuthenticationFailedError",
        "UnrecognizedBrokerVersion",
        "UnsupportedCodecError",
        "UnsupportedSaslMechanismError",
    }
    assert len(found.pop("TransientError")) > 100
    assert found == {}


def test_the_clients_errors_keep_their_cause_and_others_pass_through() -> None:
    cause = kafka_errors.KafkaTimeoutError("late")
    with pytest.raises(TransientError) as caught, translated("poll"):
        raise cause
    assert caught.value.__cause__ is cause
    with pytest.raises(ZeroDivisionError), translated("poll"):
        raise ZeroDivisionError


def test_long_server_message_is_cut() -> None:
    assert len(str(translate(kafka_errors.UnknownError("x" * 10_000), "poll"))) < 400
