"""A stand-in for Kafka where there is no Java: librdkafka's mock cluster, in a process of its own.

Owns that process and its address. It is not Kafka: README.md lists what was tried and what does not work. For
`make demo` only, at-least-once only; nothing about delivery may be concluded from it.

kafka-python must be given `api_version`, and then its constructor returns before the first metadata has arrived. A
consumer that subscribes in that moment never asks for its topic's partitions until its metadata is five minutes old
(kafka-python 3.0.12, with a real broker too: defect 10 in tests/integration/test_kafka_defects.py). So do not name the
topic in the constructor: call `bootstrap()`, or look the partitions up, and then `subscribe`.

`python -m deploy.kafka.embedded` prints `{"bootstrap": ..., "api_version": ...}` as its first line of output and serves
until SIGTERM.
"""

import json
import signal
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar

from confluent_kafka import Producer

from deploy.process import LocalService

_API_VERSION = (2, 3)


class EmbeddedKafka(LocalService):
    """The mock cluster, started and stopped like `LocalKafka`; everything in it is lost when it stops.

    Topics appear when they are first asked for or written. One consumer per group: a second gets no partitions.
    """

    name = "embedded-kafka"
    # What every kafka-python client must be given; it cannot ask, and times out trying.
    api_version: ClassVar[tuple[int, int]] = _API_VERSION
    # What a kafka-python consumer should be given, so that a group forms again within 5 s.
    group_options: ClassVar[Mapping[str, int]] = {"session_timeout_ms": 6000, "heartbeat_interval_ms": 500}
    partitions: ClassVar[int] = 4  # every topic's number of them
    _cwd = Path(__file__).parents[2]  # where `-m deploy...` resolves

    def __init__(self, *, data_dir: Path | None = None, start_timeout_s: float = 300.0) -> None:
        super().__init__(data_dir=data_dir, start_timeout_s=start_timeout_s)
        self._bootstrap = ""

    @property
    def bootstrap(self) -> str:
        """Address for clients; another one after every start, and empty before the first."""
        return self._bootstrap

    def create_topics(self, topics: Iterable[str]) -> None:
        """Create topics by asking for them, as an old broker does: a worker asks without creating any."""
        asker = Producer({"bootstrap.servers": self.bootstrap})
        for topic in topics:
            asker.list_topics(topic, timeout=10)

    def _prepare(self) -> list[str]:
        return [sys.executable, "-m", "deploy.kafka.embedded"]

    def _answers(self) -> bool:
        # librdkafka's warnings go to the same log, before and after the line.
        for line in self.child.log_output.splitlines(keepends=True):
            if line.startswith("{") and line.endswith("\n"):
                self._bootstrap = json.loads(line)["bootstrap"]
                return True
        return False


def main() -> None:
    """Serve the mock cluster until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # The cluster lives as long as the client it was configured on.
    host = Producer({"test.mock.num.brokers": 1})
    (broker,) = host.list_topics(timeout=300).brokers.values()
    print(json.dumps({"bootstrap": f"{broker.host}:{broker.port}", "api_version": _API_VERSION}), flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
