"""`check` names every right that the worker's Kafka user lacks, and disturbs nobody; the table of deploy/README.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from deploy.redis import LocalRedis
from tests import PATIENCE_S
from tests.conftest import serving
from tests.deploy.assets import README
from tests.fixtures.guarded import Guarded
from tests.fixtures.records import Message
from tests.fixtures.running import Deployment, completed
from worker.errors import ExitCode, PermanentError
from worker.kafka.python.rights import TOPICS, require_kafka_rights
from worker.settings import WorkerSettings

LITERAL, PREFIXED = ResourcePatternType.LITERAL, ResourcePatternType.PREFIXED
READ, WRITE = AclOperation.READ, AclOperation.WRITE
Right = tuple[ResourceType, str, ResourcePatternType, AclOperation]


def rights(reviews: str, ratings: str, dead: str, group: str) -> dict[str, Right]:
    """Return the rights that `run` needs, by what `check` calls them when they are missing, in its order."""
    return {
        f"READ topic {reviews}": (ResourceType.TOPIC, reviews, LITERAL, READ),
        f"WRITE topic {ratings}": (ResourceType.TOPIC, ratings, LITERAL, WRITE),
        f"WRITE topic {dead}": (ResourceType.TOPIC, dead, LITERAL, WRITE),
        f"READ group {group}": (ResourceType.GROUP, group, LITERAL, READ),
        f"WRITE transactional ids that begin with {group}-": (
            ResourceType.TRANSACTIONAL_ID, f"{group}-", PREFIXED, WRITE,
        ),
    }  # fmt: skip


def allow(guarded: Guarded, *given: Right) -> None:
    """Give the user rights."""
    bindings = [AclBinding(*right[:3], "User:ann", "*", right[3], AclPermissionType.ALLOW) for right in given]
    admin = AdminClient({"bootstrap.servers": guarded.broker.bootstrap})  # a name, or it is gone before the answer
    for future in admin.create_acls(bindings).values():
        future.result(PATIENCE_S)


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    """A broker whose user may do nothing."""
    made = Guarded(None, **{"allow.everyone.if.no.acl.found": "false"})
    with serving(made.broker):
        yield made


def test_each_right_that_is_missing_is_named(guarded: Guarded) -> None:
    guarded.broker.create_topics({"reviews": 2, "ratings": 1, "reviews.dlq": 1})
    settings = WorkerSettings(**guarded.login)
    missing = rights("reviews", "ratings", "reviews.dlq", "starstream")
    while missing:
        with pytest.raises(PermanentError) as caught:
            require_kafka_rights(settings)
        assert str(caught.value) == f"kafka: the worker's user has no right to {', '.join(missing)}"
        allow(guarded, missing.pop(next(iter(missing))))
    require_kafka_rights(settings)


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_a_worker_runs_with_these_rights_alone(
    client: str, guarded: Guarded, redis_server: LocalRedis, tmp_path: Path
) -> None:
    with Deployment(guarded.broker, redis_server.url, tmp_path) as deployment:
        allow(guarded, *rights(deployment.input, deployment.output, deployment.dead, deployment.group).values())
        worker = deployment.worker(kafka_client=client, **guarded.login).ready()
        deployment.produce(*[Message(b"love it")] * 50, Message(b"\xff", b"bad"))
        worker.until(lambda: deployment.lag() == 0, "all committed")
        assert (len(deployment.read(deployment.output)), len(deployment.read(deployment.dead))) == (50, 1)
        assert worker.stop() == ExitCode.OK
        topics = (deployment.dead, READ), (deployment.input, WRITE)
        allow(guarded, *((ResourceType.TOPIC, topic, LITERAL, right) for topic, right in topics))
        sent = completed("dlq", "redrive", "--yes", **deployment.settings | guarded.login)
        assert (sent.returncode, "1 letter sent" in sent.stderr) == (ExitCode.OK, True), sent.stderr
        assert "--new of the next redrive will not know of this one" in sent.stderr


def test_the_readme_lists_every_topic_with_its_right() -> None:
    table = README.read_text(encoding="utf-8")
    for setting, operation in TOPICS.items():
        assert f"| topic of `WORKER_{setting.upper()}` | {operation.capitalize()} |" in table
