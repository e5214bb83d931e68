"""One real Apache Kafka broker on loopback, as a child process.

Owns the broker's command line, its data directory and its storage format. It never touches a broker it did not
start. Read before it: `deploy.process.LocalService` (starting and stopping), `jars` (what it runs), `properties` (its
settings).
"""

import base64
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from deploy.kafka.jars import cache_dir, ensure_jars, find_java
from deploy.kafka.properties import render, server_properties
from deploy.kafka.topics import create_topics
from deploy.process import LOOPBACK, LocalService, StartFailed, free_port, run_tool

# The serial collector and the first compiler only need the least memory and start-up CPU (../DECISIONS.md, 12).
JVM_FLAGS = ("-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError")
_LOGGING = (
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
    # A dump of every setting, and a line per partition.
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config.AbstractConfig=warn",
    "-Dorg.slf4j.simpleLogger.log.state.change.logger=warn",
)


class LocalKafka(LocalService):
    """A Kafka broker that can be stopped, crashed, suspended and started again with the same port and data.

    Args:
        port: of the plain listener; a free one by default.
        data_dir: see `LocalService`; holds server.properties, kafka.log and the partitions.
        extra_properties: settings over our own. `listeners` and `advertised.listeners` are added to the plain ones.
        jvm_flags: replace `JVM_FLAGS`.
        environ: where PATH, JAVA_HOME and XDG_CACHE_HOME are read; the process environment by default.
        start_timeout_s: how long `start` waits for an answer, a download not included; a process that ends is
            noticed at once, so only a hang takes this long.

    Attributes:
        cluster_id: what an empty data directory is formatted for, 22 characters of URL-safe base64, as Kafka writes it.
    """

    name = "kafka"

    def __init__(
        self,
        *,
        port: int | None = None,
        data_dir: Path | None = None,
        extra_properties: Mapping[str, str] | None = None,
        jvm_flags: Sequence[str] = JVM_FLAGS,
        environ: Mapping[str, str] = os.environ,
        start_timeout_s: float = 300.0,
    ) -> None:
        super().__init__(data_dir=data_dir, start_timeout_s=start_timeout_s)
        self.port = port if port is not None else free_port()
        self._controller_port = free_port()
        self._extra_properties = dict(extra_properties or {})
        self._jvm_flags = tuple(jvm_flags)
        self._environ = environ
        self.cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")

    @property
    def bootstrap(self) -> str:
        """Address for clients, `127.0.0.1:<port>`; the same over restarts."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def properties_path(self) -> Path:
        """The settings file this broker runs with; it stands on the broker's command line."""
        return self.data_dir / "server.properties"

    def create_topics(self, topics: Mapping[str, int], configs: Mapping[str, str] | None = None) -> None:
        """Create topics (name to partitions) and block until all have leaders; see `topics.create_topics`."""
        create_topics(self.bootstrap, topics, configs)

    def _prepare(self) -> list[str]:
        java = find_java(self._environ)
        jars = ensure_jars(cache_dir(self._environ), self._environ)
        self._require_free(self.port)
        log_dir = self.data_dir / "partitions"
        settings = server_properties(self.port, self._controller_port, log_dir, self._extra_properties)
        self.properties_path.write_text(render(settings), encoding="ascii")
        if not (log_dir / "meta.properties").exists():
            self._format(java, jars)
        class_path = ["-cp", f"{jars}/*"]  # Java expands the star, not a shell
        return [str(java), *self._jvm_flags, *_LOGGING, *class_path, "kafka.Kafka", str(self.properties_path)]

    def _answers(self) -> bool:
        return broker_answers(self.port)

    def _format(self, java: Path, jars: Path) -> None:
        """Give the empty data directory its cluster id."""
        command = [str(java), "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        command += ["-cp", f"{jars}/*", "kafka.tools.StorageTool", "format", "--ignore-formatted"]
        command += [f"--cluster-id={self.cluster_id}", "-c", str(self.properties_path)]  # "=": an id may begin with "-"
        run_tool(command, f"Kafka could not format {self.data_dir} for its data", StartFailed, os.environ)


def broker_answers(port: int, timeout_s: float = 1.0) -> bool:
    """Whether the broker on loopback `port` answers with the metadata of a broker in service, within `timeout_s`.

    A connection alone says little: the kernel accepts it for a suspended broker. Asked with librdkafka, because
    kafka-python's constructor leaves a thread behind when the broker does not answer.
    """
    client = AdminClient({"bootstrap.servers": f"{LOOPBACK}:{port}", "log_level": 0})
    try:
        return bool(client.list_topics(timeout=timeout_s).brokers)
    except KafkaException:
        return False
