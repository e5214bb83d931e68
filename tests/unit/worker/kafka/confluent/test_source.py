"""The adapters on confluent-kafka without a broker: options, errors, positions, topic ids, choice of the client."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from tests.doubles import ManualClock, MemoryLog
from worker.errors import FencedError, PermanentError, SettingsError, TransientError
from worker.kafka import clients
from worker.kafka.clients import make_source
from worker.kafka.confluent.assignment import require_member
from worker.kafka.confluent.client import FENCED, PERMANENT, CallbackErrors, call_with_timeout, translate, translated
from worker.kafka.confluent.lag import LagTracker
from worker.kafka.confluent.options import client_config, consumer_config, producer_config
from worker.kafka.confluent.topic_ids import TopicIds
from worker.kafka.python.client import client_config as other_config
from worker.ops.metrics import Metrics
from worker.records import Partition
from worker.settings import WorkerSettings

AT = Partition("reviews", 0)


class Ends:
    """A consumer, as far as the lag tracker uses it."""

    def __init__(self, end: int) -> None:
        self.end = end

    def get_watermark_offsets(self, _at: object, *, cached: bool) -> tuple[int, int]:
        assert cached, "not a request every second"
        return (0, self.end)


def settings(**more: Any) -> WorkerSettings:
    return WorkerSettings(_env_file=None, kafka_client="confluent", **more)


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


def test_a_callback_error_is_raised_when_it_is_permanent() -> None:
    errors = CallbackErrors()
    errors.note(KafkaError(KafkaError._ALL_BROKERS_DOWN, "2/2 brokers are down"))
    errors.raise_fatal("poll")
    assert "2/2 brokers are down" in errors.last
    errors.note(KafkaError(KafkaError._AUTHENTICATION, "SASL authentication error: no"))
    with pytest.raises(PermanentError, match="authentication error: no"):
        errors.raise_fatal("poll")


def test_a_replaced_static_member_is_fenced() -> None:
    """librdkafka reports a fatal error, with the cause in its text only."""
    errors = CallbackErrors()
    errors.note(KafkaError(KafkaError._FATAL, f"Fatal error: {KafkaError(KafkaError.FENCED_INSTANCE_ID).str()}"))
    with pytest.raises(FencedError):
        errors.raise_fatal("poll")


def test_any_other_fatal_error_is_permanent() -> None:
    errors = CallbackErrors()
    errors.note(KafkaError(KafkaError._FATAL, "broken"))
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


def test_every_setting_of_the_connection_reaches_librdkafka(tmp_path: Path) -> None:
    """Each setting that changes kafka-python's options changes librdkafka's, too."""
    pem = tmp_path / "some.pem"
    pem.touch()
    plain = settings()
    for change in (
        {"kafka_bootstrap_servers": ["elsewhere:1"]},
        {"kafka_security_protocol": "SSL"},
        {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "PLAIN"},
        {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "SCRAM-SHA-256"},
        {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "SCRAM-SHA-512"},
        {"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_sasl_mechanism": "OAUTHBEARER", "kafka_oauth_token": "t"},
        {"kafka_ssl_cafile": pem},
        {"kafka_ssl_certfile": pem, "kafka_ssl_keyfile": pem},
        {"kafka_ssl_password": "word"},
        {"kafka_ssl_check_hostname": False},
        {"kafka_client_id": "another"},
        {"request_timeout_s": 7},
    ):
        login = {"kafka_sasl_username": "ann", "kafka_sasl_password": "sésame"}
        changed = settings(**login, **change)
        assert changed_names(other_config, plain, changed), change
        names = changed_names(lambda which: client_config(which, CallbackErrors()), plain, changed)
        assert names, f"{change} does not reach librdkafka"


def changed_names(
    make: Callable[[WorkerSettings], dict[str, Any]], one: WorkerSettings, two: WorkerSettings
) -> set[str]:
    first, second = make(one), make(two)
    simple = (str, int, bool, list, tuple, type(None))
    return {
        name
        for name in first.keys() | second.keys()
        if first.get(name) != second.get(name) and isinstance(second.get(name), simple)
    } | (second.keys() - first.keys())


def test_security_settings_are_translated_to_librdkafkas_option_names(tmp_path: Path) -> None:
    pem = tmp_path / "some.pem"
    pem.touch()
    config = client_config(
        settings(
            kafka_security_protocol="SASL_SSL",
            kafka_sasl_mechanism="SCRAM-SHA-512",
            kafka_sasl_username="ann",
            kafka_sasl_password="sésame",
            kafka_ssl_cafile=pem,
            kafka_ssl_certfile=pem,
            kafka_ssl_keyfile=pem,
            kafka_ssl_password="word",
        ),
        CallbackErrors(),
    )
    assert {name: value for name, value in config.items() if name.startswith(("sasl.", "ssl.", "security."))} == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "ann",
        "sasl.password": "sésame",
        "ssl.ca.location": str(pem),
        "ssl.certificate.location": str(pem),
        "ssl.key.location": str(pem),
        "ssl.key.password": "word",
        "ssl.endpoint.identification.algorithm": "https",
    }


def test_the_oauth_callback_returns_the_configured_token() -> None:
    config = client_config(
        settings(
            kafka_security_protocol="SASL_PLAINTEXT", kafka_sasl_mechanism="OAUTHBEARER", kafka_oauth_token="a.b.c"
        ),
        CallbackErrors(),
    )
    token, until_wall_s = config["oauth_cb"]("")
    assert token == "a.b.c"
    assert until_wall_s > 1_700_000_000


@pytest.mark.parametrize("more", [{}, {"transaction_timeout_s": 1, "redis_timeout_s": 0.4}, {"request_timeout_s": 100}])
def test_librdkafka_accepts_every_option(more: dict[str, Any], metrics: Metrics, clock: ManualClock) -> None:
    """When a client is made it refuses unknown names, and values that contradict each other."""
    chosen = settings(kafka_bootstrap_servers=["127.0.0.1:1"], **more)
    Consumer(consumer_config(chosen, "static", CallbackErrors(), LagTracker(metrics, clock).on_statistics)).close()
    for transactional_id in (None, "a-name"):
        assert isinstance(Producer(producer_config(chosen, transactional_id, CallbackErrors())), Producer)


def test_a_session_timeout_over_the_poll_interval_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"WORKER_SESSION_TIMEOUT_S: 200 is over WORKER_MAX_POLL_INTERVAL_S=120"):
        settings(session_timeout_s=200)
    WorkerSettings(_env_file=None, session_timeout_s=200)  # kafka-python allows it


def test_a_client_that_is_not_installed_is_refused_with_its_package(
    monkeypatch: pytest.MonkeyPatch, metrics: Metrics, clock: ManualClock
) -> None:
    monkeypatch.setattr(clients, "find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match=r"WORKER_KAFKA_CLIENT=confluent: .*pip install confluent-kafka"):
        make_source(settings(), instance_id=None, metrics=metrics, clock=clock)
    with pytest.raises(SettingsError, match="WORKER_KAFKA_CLIENT"):
        clients.make_delivery(settings(), None, "id", MemoryLog())  # type: ignore[arg-type]  # not used


# The membership


def membership(generation: int, member: bytes) -> bytes:
    return b"CGMDv2:" + struct.pack("=i", generation) + b"a group\0" + member + b"\0\1"


def test_metadata_of_a_member_is_returned_unchanged() -> None:
    assert require_member(membership(7, b"rdkafka-1"), "a group") == membership(7, b"rdkafka-1")


@pytest.mark.parametrize("metadata", [None, b"", b"CGMDv3:....", membership(-1, b"rdkafka-1"), membership(7, b"")])
def test_metadata_of_a_consumer_without_membership_is_refused(metadata: bytes | None) -> None:
    with pytest.raises(TransientError, match="member of group a group"):
        require_member(metadata, "a group")


# Positions past markers


@pytest.fixture
def lag(metrics: Metrics, clock: ManualClock) -> LagTracker:
    clock.advance(10)
    return LagTracker(metrics, clock)


def reported(lag: LagTracker, clock: ManualClock) -> dict[Partition, int]:
    clock.advance(1)
    return dict(lag.offsets_past_markers())


def test_an_end_past_the_last_record_is_reported_once(lag: LagTracker, clock: ManualClock) -> None:
    lag.returned({AT: 9})
    lag.reached_end(AT, 11)
    assert reported(lag, clock) == {AT: 11}
    assert reported(lag, clock) == {}


def test_an_end_right_after_the_last_record_is_not_reported(lag: LagTracker, clock: ManualClock) -> None:
    lag.returned({AT: 9})
    lag.reached_end(AT, 10)
    assert reported(lag, clock) == {}


def test_offsets_past_markers_are_reported_again_after_a_failed_commit(lag: LagTracker, clock: ManualClock) -> None:
    lag.returned({AT: 9})
    lag.reached_end(AT, 11)
    reported(lag, clock)
    lag.clear()
    assert reported(lag, clock) == {AT: 11}


@pytest.mark.parametrize(
    "change",
    [
        lambda lag: lag.drop([AT]),
        lambda lag: lag.sought(AT, 3),
        lambda lag: lag.drop_ends([AT]),
    ],
    ids=["dropped", "sought", "more records"],
)
def test_an_end_is_not_reported_once_the_position_has_moved(
    change: Callable[[LagTracker], None], lag: LagTracker, clock: ManualClock
) -> None:
    """Committing it would skip records: of a topic created again, or read again after a failure."""
    lag.returned({AT: 99})
    lag.reached_end(AT, 101)
    change(lag)
    lag.returned({AT: 24})
    assert reported(lag, clock) == {}


def test_lag_counts_from_the_last_returned_record(lag: LagTracker, metrics: Metrics, clock: ManualClock) -> None:
    def lag_records() -> float | None:
        clock.advance(1)
        lag.observe_all(Ends(110), {AT})
        return metrics.registry.get_sample_value(
            "starstream_consumer_lag_records", {"topic": "reviews", "partition": "0"}
        )

    lag.returned({AT: 99})
    assert lag_records() == 10
    lag.reached_end(AT, 110)
    assert lag_records() == 0


def test_a_stalled_partition_is_reported(lag: LagTracker, clock: ManualClock) -> None:
    lag.returned({AT: 99})
    for _ in range(70):
        clock.advance(1)
        lag.observe_all(Ends(110), {AT})
    assert "reviews-0: records are waiting" in str(lag.stalled_reason({AT}))
    lag.clear()  # it was paused on purpose
    assert lag.stalled_reason({AT}) is None


def test_a_partition_without_any_record_is_reported_as_stalled(lag: LagTracker, clock: ManualClock) -> None:
    for _ in range(70):
        clock.advance(1)
        lag.observe_all(Ends(110), {AT})
    assert "reviews-0: records are waiting" in str(lag.stalled_reason({AT}))


@pytest.mark.parametrize(("states", "connected"), [(["DOWN", "UP"], True), (["DOWN", "TRY_CONNECT"], False)])
def test_one_connected_broker_is_enough(states: Sequence[str], connected: bool, lag: LagTracker) -> None:
    brokers = ",".join(f'"{number}": {{"state": "{state}"}}' for number, state in enumerate(states))
    lag.on_statistics(f'{{"brokers": {{{brokers}}}}}')
    assert lag.connected is connected


# The topic


class Ids(TopicIds):
    """Returns canned answers in place of the brokers'."""

    def __init__(self) -> None:
        self.now = {"reviews": "one"}
        self.fetches = 0
        self.recreated: list[str] = []
        super().__init__(settings(), self.recreated.append)

    def _fetch(self, topics: Sequence[str]) -> dict[str, str]:
        self.fetches += 1
        return {topic: self.now.get(topic, "") for topic in topics}


def test_topic_ids_are_fetched_once_per_batch() -> None:
    ids = Ids()
    for _ in range(3):
        ids.mark_unverified()
        assert [ids.id_of("reviews") for _ in range(100)] == ["one"] * 100
        ids.verify()
    assert ids.fetches == 3


def test_a_recreated_topic_fails_the_batch_once() -> None:
    ids = Ids()
    ids.verify()
    ids.now = {"reviews": "two"}
    ids.mark_unverified()
    with pytest.raises(TransientError, match="reviews: deleted and created again"):
        ids.id_of("reviews")
    assert ids.recreated == ["reviews"]
    assert ids.id_of("reviews") == "two"
    assert ids.recreated == ["reviews"]


def test_a_deleted_topic_fails_batches_until_it_exists_again() -> None:
    ids = Ids()
    ids.verify()
    ids.now = {}
    ids.mark_unverified()
    for _ in range(2):
        with pytest.raises(TransientError, match="WORKER_INPUT_TOPICS: reviews: the topic was deleted"):
            ids.verify()
    ids.now = {"reviews": "two"}
    with pytest.raises(TransientError, match="created again"):
        ids.verify()


def test_an_unknown_topic_has_an_empty_id() -> None:
    assert Ids().id_of("nowhere-at-all") == ""
