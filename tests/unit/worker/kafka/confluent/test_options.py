"""Our settings become options of librdkafka."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from pydantic import SecretStr

from tests.doubles import ManualClock
from worker.kafka.confluent.client import CallbackErrors
from worker.kafka.confluent.lag import LagTracker
from worker.kafka.confluent.options import client_config, consumer_config, producer_config
from worker.kafka.python.client import client_config as other_config
from worker.ops.metrics import Metrics
from worker.settings import WorkerSettings


def settings(**more: Any) -> WorkerSettings:
    return WorkerSettings(_env_file=None, kafka_client="confluent", **more)


def test_every_setting_of_the_connection_reaches_librdkafka() -> None:
    """Each setting that changes kafka-python's options changes librdkafka's, too."""
    pem = Path("some.pem")  # not read here
    plain = settings()
    for change in (
        {"kafka_bootstrap_servers": ["elsewhere:1"]},
        {"kafka_security_protocol": "SSL"},
        {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "PLAIN"},
        {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "SCRAM-SHA-256"},
        {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "SCRAM-SHA-512"},
        {
            "kafka_security_protocol": "SASL_PLAINTEXT",
            "kafka_sasl_mechanism": "OAUTHBEARER",
            "kafka_oauth_token": SecretStr("t"),
        },
        {"kafka_ssl_cafile": pem},
        {"kafka_ssl_certfile": pem, "kafka_ssl_keyfile": pem},
        {"kafka_ssl_password": SecretStr("word")},
        {"kafka_ssl_check_hostname": False},
        {"kafka_client_id": "another"},
        {"request_timeout_s": 7},
        {"kafka_connections_max_idle_s": 60.0},
    ):
        login = {"kafka_sasl_username": "ann", "kafka_sasl_password": SecretStr("sésame")}
        changed = plain.model_copy(update=login | change)  # unchecked, so that the files may be empty
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


@pytest.mark.parametrize("more", [{}, {"transaction_timeout_s": 1, "redis_timeout_s": 0.4}, {"request_timeout_s": 100}])
def test_librdkafka_accepts_every_option(more: dict[str, Any], metrics: Metrics, clock: ManualClock) -> None:
    """When a client is made it refuses unknown names, and values that contradict each other."""
    chosen = settings(kafka_bootstrap_servers=["127.0.0.1:1"], **more)
    Consumer(consumer_config(chosen, "static", CallbackErrors(), LagTracker(metrics, clock).on_statistics)).close()
    for transactional_id in (None, "a-name"):
        assert isinstance(Producer(producer_config(chosen, transactional_id, CallbackErrors())), Producer)


def test_records_of_a_transaction_do_not_wait_for_its_commit() -> None:
    linger_ms = [producer_config(settings(), name, CallbackErrors())["linger.ms"] for name in ("a-name", None)]
    assert linger_ms == [1, 500]  # at-least-once flushes what it has sent


def test_a_session_timeout_over_the_poll_interval_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"WORKER_SESSION_TIMEOUT_S: 200 is over WORKER_MAX_POLL_INTERVAL_S=120"):
        settings(session_timeout_s=200)
    WorkerSettings(_env_file=None, session_timeout_s=200)  # kafka-python allows it


def test_kip_848_leaves_the_session_and_the_assignment_to_the_brokers() -> None:
    config = consumer_config(settings(kafka_group_protocol="consumer"), None, CallbackErrors(), lambda _: None)
    classic = consumer_config(settings(), None, CallbackErrors(), lambda _: None)
    assert config["group.protocol"] == "consumer"
    assert classic.keys() - config.keys() == {
        "partition.assignment.strategy",
        "session.timeout.ms",
        "heartbeat.interval.ms",
    }


def test_rack_and_dns_lookup_reach_librdkafka() -> None:
    config = client_config(
        settings(kafka_rack="a", kafka_dns_lookup="resolve_canonical_bootstrap_servers_only"), CallbackErrors()
    )
    assert config["client.rack"] == "a"
    assert config["client.dns.lookup"] == "resolve_canonical_bootstrap_servers_only"
    Consumer(config | {"group.id": "g"}).close()


def test_kip_848_with_kafka_python_is_refused_and_says_why() -> None:
    with pytest.raises(ValueError, match="WORKER_KAFKA_GROUP_PROTOCOL=consumer: needs WORKER_KAFKA_CLIENT=confluent"):
        WorkerSettings(_env_file=None, kafka_group_protocol="consumer")


def test_an_idle_limit_below_the_request_timeout_is_refused() -> None:
    with pytest.raises(ValueError, match="WORKER_KAFKA_CONNECTIONS_MAX_IDLE_S"):
        settings(kafka_connections_max_idle_s=10.0)
