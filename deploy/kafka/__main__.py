"""`python -m deploy.kafka`: a Kafka broker on this machine, until Ctrl-C.

Owns the command line and its exit codes; the broker itself is `deploy.kafka.broker`.

Exit codes: 0 stopped, 1 failed, 2 wrong usage, 69 Java or Maven is missing.
"""

import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

from deploy.kafka.broker import LocalKafka
from deploy.kafka.jars import kafka_version
from deploy.process import LocalServiceError, ServiceUnavailable
from schemas.command_line.options import COUNT, FILE, Option, Takes
from schemas.command_line.page import Page
from schemas.command_line.program import Command
from schemas.command_line.program import run as run_program

EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE of sysexits.h
_STOPPED_FROM_OUTSIDE = {0, -signal.SIGTERM, 128 + signal.SIGTERM}
DEFAULT_TOPICS = "reviews:6,ratings:6,reviews.dlq:1"
_PAGE: Final = Page(
    f"Run a real Apache Kafka {kafka_version()} broker on this machine, until Ctrl-C.",
    """\
  python -m deploy.kafka                      the first run downloads 44 MB
  python -m deploy.kafka --port 19092 --data-dir /tmp/k --topics reviews:12
  echo 'great app' | kcat -P -b 127.0.0.1:9092 -t reviews
  kcat -C -b 127.0.0.1:9092 -t ratings -o beginning -e""",
    "One node, loopback only, no security: for development. It needs Java 17 or newer,\nand Maven once.",
    "  0  stopped    1  failed    2  wrong usage    69  Java or Maven is missing",
)


def main(argv: list[str] | None = None) -> int:
    """Run a broker until it is stopped; return the exit code."""
    own = [
        Option("--port", type=COUNT, default=9092, metavar="N", help="where it listens  [default: 9092]"),
        Option("--data-dir", type=FILE, default=str(_default_data_dir()), metavar="FOLDER",
               help=f"settings, log and partitions; kept  [default: {_default_data_dir()}]"),
        Option("--topics", type=Takes("name:partitions, several with commas, such as reviews:6", _topics),
               default=DEFAULT_TOPICS, metavar="NAME:PARTITIONS,...",
               help=f"created when missing  [default: {DEFAULT_TOPICS}]"),
    ]  # fmt: skip
    return run_program(Command("python -m deploy.kafka", _PAGE, _run, own), argv)


def _run(own: dict[str, Any], _settings: dict[str, Any]) -> int:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("deploy").setLevel(logging.INFO)
    # SIGTERM takes the path of Ctrl-C, so that the broker is stopped either way.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with LocalKafka(port=own["port"], data_dir=Path(own["data_dir"])) as broker:
            broker.create_topics(own["topics"])
            print(_welcome(broker, own["topics"]), flush=True)
            return _wait(broker)
    except KeyboardInterrupt:
        return 0
    except ServiceUnavailable as error:
        print(error, file=sys.stderr)
        return EXIT_UNAVAILABLE
    except (LocalServiceError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1


def _wait(broker: LocalKafka) -> int:
    code = broker.child.wait()
    if code in _STOPPED_FROM_OUTSIDE:
        print("stopped from outside")
        return 0
    print(f"the broker exited with code {code}; the end of its log:\n{broker.child.log_tail()}", file=sys.stderr)
    return 1


def _welcome(broker: LocalKafka, topics: dict[str, int]) -> str:
    address = broker.bootstrap
    return (
        f"Kafka {kafka_version()} (pid {broker.pid}) answers at {address}\n"
        f"  topics  {', '.join(f'{name} ({partitions})' for name, partitions in topics.items()) or 'none'}\n"
        f"  data    {broker.data_dir}\n"
        f"  log     {broker.log_path}\n"
        f"  write   echo 'great app' | kcat -P -b {address} -t reviews\n"
        f"  read    kcat -C -b {address} -t ratings -o beginning\n"
        f"  stop    Ctrl-C (the data stays)"
    )


def _topics(text: str) -> dict[str, int]:
    """Parse `name:partitions,...`; the empty text is no topics."""
    topics = {}
    for part in filter(None, text.split(",")):
        name, _, partitions = part.partition(":")
        if not name or not partitions.isdigit() or int(partitions) < 1:
            raise ValueError(part)
        topics[name] = int(partitions)
    return topics


def _default_data_dir() -> Path:
    root = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(root) / "starstream" / "kafka"


if __name__ == "__main__":
    sys.exit(main())
