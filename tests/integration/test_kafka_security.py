"""Every way to log in, on a broker that asks for it, with both clients: SASL PLAIN and SCRAM, OAuth, mutual TLS."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._scram import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from prometheus_client import CollectorRegistry

from deploy.kafka import LocalKafka
from deploy.process import LOOPBACK, free_port, wait_until
from tests import PATIENCE_S
from tests.conftest import missing, serving
from tests.doubles import MemoryLog, commit, make_rated
from tests.fixtures.markers import STEADY
from worker.clock import SystemClock
from worker.errors import PermanentError, TransientError
from worker.kafka.clients import make_delivery, make_source, watch_lag
from worker.ops.health import Health
from worker.ops.metrics import Metrics
from worker.settings import WorkerSettings

PASSWORD: Final = "sésame"
_PLAIN: Final = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_ann="{PASSWORD}";'
_SCRAM: Final = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
_OAUTH: Final = (
    "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required "
    'unsecuredLoginStringClaim_sub="broker";'
)
Options = dict[str, Any]


def certificates(folder: Path) -> None:
    """Make an authority, and a certificate of it for the broker (its name is the loopback address) and the client."""
    if shutil.which("openssl") is None:
        missing("openssl is not installed")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=PATIENCE_S)

    new = ("-newkey", "rsa:2048", "-nodes", "-days", "2")
    openssl("req", "-x509", *new, "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem")
    for name in ("broker", "client"):
        openssl("req", *new, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (folder / f"{name}.ext").write_text(f"subjectAltName=IP:{LOOPBACK}\n", encoding="utf-8")
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext")
        openssl("x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.pem")
    both = (folder / "broker.key").read_text(encoding="utf-8") + (folder / "broker.pem").read_text(encoding="utf-8")
    (folder / "broker.both").write_text(both, encoding="utf-8")


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Options]]:
    """Return the settings of each way into one broker."""
    folder = tmp_path_factory.mktemp("certificates")
    certificates(folder)
    sasl, tls = free_port(), free_port()
    listeners = f"SASL_PLAINTEXT://{LOOPBACK}:{sasl},SSL://{LOOPBACK}:{tls}"
    prefix = "listener.name.sasl_plaintext"
    broker = LocalKafka(
        data_dir=folder / "données = 🎉",  # a path may hold anything
        extra_properties={
            **STEADY,
            "listeners": listeners,
            "advertised.listeners": listeners,
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
            f"{prefix}.plain.sasl.jaas.config": _PLAIN,
            f"{prefix}.scram-sha-256.sasl.jaas.config": _SCRAM,
            f"{prefix}.scram-sha-512.sasl.jaas.config": _SCRAM,
            f"{prefix}.oauthbearer.sasl.jaas.config": _OAUTH,
            f"{prefix}.oauthbearer.connections.max.reauth.ms": "6000",  # a session that is not renewed ends
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(folder / "broker.both"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(folder / "ca.pem"),
            "ssl.client.auth": "required",
        },
    )
    with serving(broker):
        broker.create_topics({"reviews": 1, "ratings": 1, "reviews.dlq": 1})
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            user = UserScramCredentialUpsertion("ann", ScramCredentialInfo(mechanism, 4096), PASSWORD.encode())
            for future in admin.alter_user_scram_credentials([user]).values():
                future.result(20)
        login = {
            "kafka_bootstrap_servers": [f"{LOOPBACK}:{sasl}"],
            "kafka_security_protocol": "SASL_PLAINTEXT",
            "kafka_sasl_username": "ann",
            "kafka_sasl_password": PASSWORD,
        }
        yield {
            **{name: {**login, "kafka_sasl_mechanism": name} for name in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")},
            "OAUTHBEARER": {**login, "kafka_sasl_mechanism": "OAUTHBEARER", "kafka_oauth_token": unsigned_token()},
            "mTLS": {
                "kafka_bootstrap_servers": [f"{LOOPBACK}:{tls}"],
                "kafka_security_protocol": "SSL",
                "kafka_ssl_cafile": folder / "ca.pem",
                "kafka_ssl_certfile": folder / "client.pem",
                "kafka_ssl_keyfile": folder / "client.key",
            },
        }


def unsigned_token(life_s: float = 3600) -> str:
    """Return a token the broker's validator for tests takes."""
    now = time.time()
    parts: tuple[dict[str, object], ...] = ({"alg": "none"}, {"sub": "ann", "iat": now - 5, "exp": now + life_s})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


def go_in(client: str, options: Options) -> None:
    """Make the worker's consumer and its producer, and let both ask the broker something."""
    given: dict[str, Any] = {"kafka_client": client, "group_id": f"group-{client}", "request_timeout_s": 10.0}
    settings = WorkerSettings(_env_file=None, **given | options)
    source = make_source(settings, instance_id=None, metrics=Metrics(CollectorRegistry()), clock=SystemClock())
    try:
        delivery = make_delivery(settings, source, f"id-{client}", log=MemoryLog(), clock=SystemClock())
        delivery.ping()
        assert len(source.topic_id("reviews")) == 36
        delivery.close(5.0)
    finally:
        source.close(5.0)


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
@pytest.mark.parametrize("way", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "mTLS"])
def test_each_way_in_opens(way: str, client: str, ways: dict[str, Options]) -> None:
    go_in(client, ways[way])


def keep_renewed(file: Path, ended: threading.Event) -> None:
    """Replace the token every second, at once, as a reader must never see half of it."""
    while not ended.wait(1.0):
        fresh = file.with_suffix(".new")
        fresh.write_text(unsigned_token(10))
        fresh.replace(file)


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_a_token_is_renewed_before_it_expires(client: str, ways: dict[str, Options], tmp_path: Path) -> None:
    """Another program replaces the file; every client of the worker reads it again, and no session ends."""
    file = tmp_path / "token"
    first = unsigned_token(10)
    file.write_text(first)
    options = {**ways["OAUTHBEARER"], "kafka_oauth_token": None, "kafka_oauth_token_file": file}
    settings = WorkerSettings(_env_file=None, kafka_client=client, group_id=f"renewing-{client}", **options)
    clock, metrics, log = SystemClock(), Metrics(CollectorRegistry()), MemoryLog()
    source = make_source(settings, instance_id=None, metrics=metrics, clock=clock)
    delivery = make_delivery(settings, source, f"renewing-{client}", log=log, clock=clock)
    stop, health = threading.Event(), Health(clock, stall_s=60)
    watch_lag(settings, source, stop, clock=clock, metrics=metrics, health=health, log=log)
    ended, ends_at = threading.Event(), time.monotonic() + 20  # twice the first token's life
    renewing = threading.Thread(target=keep_renewed, args=(file, ended))  # also where a poll takes long
    renewing.start()
    try:
        while time.monotonic() < ends_at:
            source.poll(1, 0.5)
    finally:
        ended.set()
        renewing.join()
    assert source.not_ready_reason() is None
    assert "lag" not in health.notes

    def commits() -> bool:
        file.write_text(unsigned_token(600))  # a busy machine may take long
        try:
            commit(delivery, [make_rated()], {})
        except TransientError:  # a session that ended with its token; the loop would try again, too
            return False
        return True

    wait_until(commits, PATIENCE_S, "a commit")
    stop.set()
    delivery.close(5.0)
    source.close(5.0)


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_a_token_that_is_missing_for_a_while_is_no_wrong_credential(
    client: str, ways: dict[str, Options], tmp_path: Path
) -> None:
    """At the start, and later: the worker waits, and says for what."""
    file = tmp_path / "token"
    file.write_text(unsigned_token(-60))
    options = {**ways["OAUTHBEARER"], "kafka_oauth_token": None, "kafka_oauth_token_file": file, "request_timeout_s": 5}
    settings = WorkerSettings(_env_file=None, kafka_client=client, group_id=f"missing-{client}", **options)
    clock, metrics = SystemClock(), Metrics(CollectorRegistry())
    with pytest.raises(TransientError, match="the OAuth token has expired"):
        make_source(settings, instance_id=None, metrics=metrics, clock=clock)
    file.write_text(unsigned_token(8))
    source = make_source(settings, instance_id=None, metrics=metrics, clock=clock)

    def fails() -> bool:
        try:
            source.poll(1, 0.2)
            return source.not_ready_reason() is not None and time.time() > expires_at
        except TransientError:
            return True

    expires_at = time.time() + 8
    wait_until(fails, PATIENCE_S, "the session to end")
    file.write_text(unsigned_token())

    def works() -> bool:
        try:
            source.poll(1, 0.2)
        except TransientError:
            return False
        return source.not_ready_reason() is None

    wait_until(works, PATIENCE_S, "the new token")
    source.close(5.0)


@pytest.mark.parametrize("way", ["PLAIN", "SCRAM-SHA-512"])
def test_a_wrong_password_is_permanent(way: str, ways: dict[str, Options]) -> None:
    with pytest.raises(PermanentError, match=r"the credentials right\?: .*[Aa]uthentication"):
        go_in("confluent", {**ways[way], "kafka_sasl_password": "wrong", "request_timeout_s": 60.0})


def test_a_client_without_a_certificate_is_told_what_the_broker_said(ways: dict[str, Options]) -> None:
    bare = {**ways["mTLS"], "kafka_ssl_certfile": None, "kafka_ssl_keyfile": None, "request_timeout_s": 2.0}
    with pytest.raises(TransientError, match=r"WORKER_KAFKA_SECURITY_PROTOCOL=SSL.*alert bad certificate"):
        go_in("confluent", bare)


def test_a_broker_of_another_name_is_refused_unless_told_otherwise(ways: dict[str, Options]) -> None:
    (address,) = ways["mTLS"]["kafka_bootstrap_servers"]
    other = {**ways["mTLS"], "kafka_bootstrap_servers": [address.replace(LOOPBACK, "localhost")]}
    with pytest.raises(TransientError, match="certificate verify failed"):
        go_in("confluent", {**other, "request_timeout_s": 2.0})
    go_in("confluent", {**other, "kafka_ssl_check_hostname": False})
