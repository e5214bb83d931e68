"""The broker's server.properties: one node that is broker and controller, on loopback, light.

Owns every setting that differs from Kafka's own default, with its reason. Never starts anything.
Next on the path: `deploy.kafka.broker`.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from deploy.process import LOOPBACK

_APPENDED = ("listeners", "advertised.listeners")
_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "inter.broker.listener.name": "PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": (
        "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL"
    ),
    # One node holds one copy of everything.
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Fewer partitions of internal topics: less to create at the first use, less to recover after a crash.
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "4",
    # A test's group forms at once; a misspelt topic is an error.
    "group.initial.rebalance.delay.ms": "0",
    "auto.create.topics.enable": "false",
    # Nothing is deleted for its age: tests and demos write records with old timestamps, and the data is temporary.
    "log.retention.ms": "-1",
    # After a crash the controller refuses the restarted node until the session of the old process expires. With
    # Kafka's 9 s and 2 s a restart after kill -9 takes 11 s; this makes it 4 s (../DECISIONS.md, 11).
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # The default allots 128 MiB of heap to compaction at start.
    "log.cleaner.dedupe.buffer.size": "4194304",
    "num.network.threads": "2",
    "num.io.threads": "4",
}


def server_properties(port: int, controller_port: int, log_dir: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """Return the broker's settings; `extra` overrides, except that its listeners are added to the plain one."""
    plain = f"PLAINTEXT://{LOOPBACK}:{port}"
    settings = _SETTINGS | {
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller_port}",
        "listeners": f"{plain},CONTROLLER://{LOOPBACK}:{controller_port}",
        "advertised.listeners": plain,
        "log.dirs": str(log_dir),
    }
    added = {key: f"{settings[key]},{extra[key]}" for key in _APPENDED if key in extra}
    return settings | dict(extra) | added


def render(settings: Mapping[str, str]) -> str:
    r"""Return `settings` in Java's properties format, whose escapes JSON has too: backslashes and UTF-16 as \uXXXX."""
    return "".join(f"{key}={json.dumps(value)[1:-1]}\n" for key, value in settings.items())
