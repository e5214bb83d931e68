"""A cluster of three brokers, in which leaders and the coordinators of groups and transactions can move.

Owns the brokers' settings and their start. The rest of the suite uses the stage's single broker.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from deploy.kafka import LocalKafka
from deploy.process import LOOPBACK, wait_until

_COPIES: Final = 3
_REQUEST_S: Final = 10.0
_START_S: Final = 90.0
_SETTINGS: Final = {
    "group.min.session.timeout.ms": "1000",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": str(_COPIES),
    "transaction.state.log.replication.factor": str(_COPIES),
    "transaction.state.log.min.isr": "2",
    # A restarted broker is in sync within seconds; the default is 30 s.
    "replica.lag.time.max.ms": "5000",
}


class Member(LocalKafka):
    """One of the brokers, each of which is also a controller."""

    def join(self, number: int, voters: str, cluster_id: str) -> None:
        """Join the voters; call it before the first start."""
        self.cluster_id = cluster_id
        self._extra_properties |= {"node.id": str(number), "controller.quorum.voters": voters}

    def voter(self, number: int) -> str:
        """Return this member's entry in the list of voters."""
        return f"{number}@{LOOPBACK}:{self._controller_port}"


class LocalCluster:
    """Three brokers on loopback, three copies of every topic."""

    def __init__(self, folder: Path) -> None:
        self.members = {
            number: Member(
                data_dir=folder / f"broker-{number}",
                extra_properties=_SETTINGS,
                start_timeout_s=_START_S,
            )
            for number in range(1, _COPIES + 1)
        }
        voters = ",".join(member.voter(number) for number, member in self.members.items())
        for number, member in self.members.items():
            member.join(number, voters, self.members[1].cluster_id)

    def __enter__(self) -> Self:
        try:
            with ThreadPoolExecutor(_COPIES) as pool:  # a single one would wait for a majority
                list(pool.map(lambda member: member.start(), self.members.values()))
        except BaseException:
            self._stop()
            raise
        self._admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        wait_until(
            lambda: len(self._admin.list_topics(timeout=_REQUEST_S).brokers) == _COPIES, _START_S, "three brokers"
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def bootstrap(self) -> str:
        """Addresses for clients."""
        return ",".join(member.bootstrap for member in self.members.values())

    def create_topics(self, topics: Mapping[str, int]) -> None:
        """Create topics (name to partitions) with three copies, and wait until all are in sync."""
        made = [NewTopic(name, count, _COPIES) for name, count in topics.items()]
        for future in self._admin.create_topics(made).values():
            future.result(_REQUEST_S)
        self.wait_in_sync()

    def coordinator(self, group: str) -> int:
        """Return the number of the broker that coordinates a group."""
        found = self._admin.describe_consumer_groups([group], request_timeout=_REQUEST_S)[group].result(_REQUEST_S)
        return int(found.coordinator.id)

    def wait_in_sync(self) -> None:
        """Wait until every partition of every topic has all its copies in sync."""

        def whole() -> bool:
            topics = self._admin.list_topics(timeout=_REQUEST_S).topics.values()
            return all(len(at.isrs) == _COPIES for topic in topics for at in topic.partitions.values())

        wait_until(whole, _START_S, "copies in sync")

    def _stop(self) -> None:
        for member in self.members.values():
            member.kill()
            member.stop()
