"""A Redis with replicas: Sentinels, a cluster, and WAIT, on real servers that are killed under load."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.process import LOOPBACK, free_port, wait_until
from tests import PATIENCE_S
from tests.conftest import missing
from tests.contract.test_redis_failover import NOTE, admin, made, replicate, server, write_again
from tests.contract.test_store_redis import answered, ratings
from tests.doubles import make_rated, write
from tests.fixtures.clustered import SLOTS, cluster_with_replicas
from tests.fixtures.sentinels import SERVICE, LocalSentinel, WatchedRedis
from worker.clock import SystemClock
from worker.errors import TransientError
from worker.redis.ratings import RatingsInRedis
from worker.redis.trend import hours_of
from worker.settings import WorkerSettings


@pytest.mark.usefixtures("redis_server")
def test_sentinels_are_asked_for_the_primary_again_when_it_is_lost(stack: ExitStack) -> None:
    watched = stack.enter_context(WatchedRedis())
    settings = WorkerSettings(
        _env_file=None, redis_url=watched.url, redis_wait_replicas=1, kafka_client_id="my worker, prod"
    )
    store, ledger = made(settings, stack)
    store.ping()
    write(store, ratings(100))
    ledger.save_attempts(NOTE)
    new = watched.fail_over()
    for call in (store.ping, lambda: write(store, ratings(600)), lambda: ledger.save_attempts(NOTE)):
        wait_until(lambda call=call: answered(call), PATIENCE_S, "an answer of the new primary")  # type: ignore[misc]
    client = admin(stack, new)
    assert client.exists("rating:{r599}")
    assert {found["name"] for found in client.client_list()} >= {"my-worker,-prod"}


def test_a_batch_that_too_few_replicas_have_is_an_outage(stack: ExitStack) -> None:
    primary, replica = (server(stack, None) for _ in range(2))
    second = admin(stack, replica)
    replicate(second, primary)
    settings = WorkerSettings(_env_file=None, redis_url=primary.url, redis_wait_replicas=1, redis_timeout_s=4)
    store, _ = made(settings, stack)
    assert write(store, ratings(600))["written"] == 600
    replica.suspend()
    try:
        for call in (lambda: write(store, ratings(601)), lambda: write_again(store, ratings(602))):
            with pytest.raises(TransientError, match=r"1 replicas \(WORKER_REDIS_WAIT_REPLICAS\) must .* 0$"):
                call()
    finally:
        replica.resume()
    wait_until(lambda: answered(lambda: write(store, ratings(602))), PATIENCE_S, "the replica")
    assert second.exists("rating:{r601}")


@pytest.mark.usefixtures("redis_server")
def test_sentinels_and_their_primary_over_tls(stack: ExitStack, tmp_path: Path) -> None:
    """With passwords of both, and another database."""
    if shutil.which("openssl") is None:
        missing("openssl is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    make = f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=r -addext subjectAltName=IP:{LOOPBACK}"
    subprocess.run([*make.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    files = {"tls-cert-file": certificate, "tls-key-file": key, "tls-ca-cert-file": certificate}
    tls = {"tls-auth-clients": "no", **files}
    ports = free_port(), free_port()
    flags = [word for name, value in tls.items() for word in (f"--{name}", str(value))]
    server(stack, None, *flags, "--tls-port", str(ports[0]), "--requirepass", "p@ss")
    lines = [f"{name} {value}" for name, value in tls.items()]
    lines += [f"tls-port {ports[1]}", "tls-replication yes", "requirepass s3", f"sentinel auth-pass {SERVICE} p@ss"]
    stack.enter_context(LocalSentinel(ports[0], lines))
    url = f"rediss+sentinel://:p%40ss@{LOOPBACK}:{ports[1]}/{SERVICE}/2"
    options = f"ssl_ca_certs={certificate}&sentinel_password=s3&socket_keepalive=yes"
    store, _ = made(WorkerSettings(_env_file=None, redis_url=f"{url}?{options}"), stack)
    wait_until(lambda: answered(store.ping), PATIENCE_S, "the Sentinel finds the primary")
    assert write(store, ratings(3))["written"] == 3
    with pytest.raises(TransientError, match="CERTIFICATE_VERIFY_FAILED"):
        made(WorkerSettings(_env_file=None, redis_url=f"{url}?sentinel_password=s3"), stack)[0].ping()


@pytest.mark.usefixtures("redis_server")
def test_a_promotion_in_a_cluster_under_load_loses_no_rating(stack: ExitStack) -> None:
    nodes = stack.enter_context(cluster_with_replicas())
    settings = WorkerSettings(
        _env_file=None, redis_url=nodes[1].url, redis_cluster=True, redis_wait_replicas=1, redis_form=2
    )
    store, ledger = made(settings, stack)
    store.ping()
    batches = [ratings(50 * number)[-50:] for number in range(1, 41)]
    refused = 0
    for number, batch in enumerate(batches):
        if number == 10:
            nodes[0].kill()
        while not answered(lambda: write(store, batch)):  # noqa: B023 (called at once)
            refused += 1
            if refused == 3:
                nodes[0].start()  # as a replica, if another was promoted meanwhile
            wait_until(lambda: answered(store.ping), PATIENCE_S, "every primary takes a write")
    assert refused, "the primary was killed for nothing"
    wait_until(lambda: admin(stack, nodes[3]).info("replication")["role"] == "master", PATIENCE_S, "the promotion")
    ledger.save_attempts(NOTE)
    for number in range(2000):
        assert store._client.exists(f"rating:{{r{number}}}"), number
    reader = RatingsInRedis(settings)
    summary = reader.summary("app")
    assert summary is not None
    assert (summary.count, summary.stars) == (2000, {5: 2000})
    trend = reader.trend("app", hours_of(SystemClock().wall(), settings.trend_ttl_s))
    assert sum(trend.outside.values()) + sum(trend.cells.values()) == 2000


@pytest.mark.usefixtures("redis_server")
def test_slots_on_their_way_to_another_node_are_an_outage_until_they_are_there(stack: ExitStack) -> None:
    """ASK and TRYAGAIN: one key of the call has moved, the other has not."""
    nodes = stack.enter_context(cluster_with_replicas(2))
    first, second = (admin(stack, node) for node in nodes[:2])
    settings = WorkerSettings(_env_file=None, redis_url=nodes[0].url, redis_cluster=True)
    store, _ = made(settings, stack)
    rated = make_rated("r0")
    slot = first.cluster("KEYSLOT", "rating:{r0}")
    assert slot < SLOTS // 2, "it begins on the first node"
    here, there = (client.execute_command("CLUSTER MYID") for client in (first, second))
    write(store, [rated])
    second.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", here)
    first.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", there)
    with pytest.raises(TransientError):
        write(store, [rated])
    for key in first.cluster("GETKEYSINSLOT", slot, 10):
        first.migrate(LOOPBACK, nodes[1].port, key, 0, 5000)
    for client in (second, first):
        client.execute_command("CLUSTER SETSLOT", slot, "NODE", there)
    wait_until(lambda: answered(store.ping) and answered(lambda: write(store, [rated])), PATIENCE_S, "the moved slot")
    assert second.exists("rating:{r0}")
