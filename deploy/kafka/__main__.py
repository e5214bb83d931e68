"""`python -m deploy.kafka start | stop | status`: a Kafka broker for the desk.

Owns the command line and its exit codes; the broker itself is `deploy.kafka.broker`.

Exit codes: 0 done (status: it answers), 1 failed (status: it runs but does not answer), 2 wrong usage,
3 no broker runs, 69 Java or Maven is missing.
"""

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

from deploy.kafka.broker import LocalKafka
from deploy.kafka.jars import kafka_version
from deploy.kafka.probe import broker_answers
from deploy.kafka.record import forget, read_running, record_of, stop_running
from deploy.process import LocalServiceError, ServiceUnavailable, Tie

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_NOT_RUNNING = 3  # as in the Linux Standard Base's init scripts
EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE of sysexits.h
_STOPPED_FROM_OUTSIDE = {0, -signal.SIGTERM, 128 + signal.SIGTERM}
DEFAULT_TOPICS = "reviews:6,ratings:6,reviews.dlq:1"
_EXAMPLES = """\
examples:
  python -m deploy.kafka start                       run until Ctrl-C; the first run downloads 44 MB
  python -m deploy.kafka start --detach              run in the background
  python -m deploy.kafka status                      where it listens, how it is, exit code 3 when it is not
  python -m deploy.kafka stop                        end the one in the background; its data stays
  python -m deploy.kafka start --port 19092 --data-dir /tmp/k --topics reviews:12
  echo 'great app' | kcat -P -b 127.0.0.1:9092 -t reviews        write a review
  kcat -C -b 127.0.0.1:9092 -t ratings -o beginning -e           read all ratings

One node, loopback only, no security: for development. It needs Java 17 or newer, and Maven once.
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command; return its exit code."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("deploy").setLevel(logging.INFO)
    try:
        code: int = arguments.run(arguments)
    except ServiceUnavailable as error:
        print(error, file=sys.stderr)
        return EXIT_UNAVAILABLE
    except (LocalServiceError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    return code


def _start(arguments: argparse.Namespace) -> int:
    data_dir: Path = arguments.data_dir
    running = read_running(data_dir)
    if running is not None:
        print(f"a broker (pid {running.pid}) already runs on {data_dir} at {running.bootstrap}", file=sys.stderr)
        return EXIT_FAILED
    # SIGTERM takes Ctrl-C's path, so that `finally` stops the broker either way.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tie = Tie.NONE if arguments.detach else Tie.GUARD
    broker = LocalKafka(port=arguments.port, data_dir=data_dir, tie=tie)
    try:
        broker.start()
        broker.create_topics(arguments.topics)
        record_of(broker).write(data_dir)
        print(_welcome(broker, arguments.topics, detached=arguments.detach), flush=True)
        return EXIT_OK if arguments.detach else _serve(broker)
    except KeyboardInterrupt:
        print("stopping", flush=True)
        return EXIT_OK
    finally:
        if not (arguments.detach and read_running(data_dir)):
            broker.stop()
            forget(data_dir)


def _serve(broker: LocalKafka) -> int:
    code = broker.child.wait()
    if code in _STOPPED_FROM_OUTSIDE:
        print("stopped from outside")
        return EXIT_OK
    print(f"the broker ended with exit code {code}; the end of its log:\n{broker.child.log_tail()}", file=sys.stderr)
    return EXIT_FAILED


def _stop(arguments: argparse.Namespace) -> int:
    record = stop_running(arguments.data_dir)
    if record is None:
        print(f"no broker runs on {arguments.data_dir}")
        return EXIT_NOT_RUNNING
    print(f"stopped the broker at {record.bootstrap} (pid {record.pid}); its data stays in {arguments.data_dir}")
    return EXIT_OK


def _status(arguments: argparse.Namespace) -> int:
    record = read_running(arguments.data_dir)
    if record is None:
        print(f"no broker runs on {arguments.data_dir}")
        return EXIT_NOT_RUNNING
    answers = broker_answers(int(record.bootstrap.rpartition(":")[2]))
    state = "answers" if answers else "does NOT answer"
    print(f"Kafka {kafka_version()} (pid {record.pid}) {state} at {record.bootstrap}\n  log  {record.log}")
    return EXIT_OK if answers else EXIT_FAILED


def _welcome(broker: LocalKafka, topics: dict[str, int], *, detached: bool) -> str:
    data_dir, address = broker.data_dir, broker.bootstrap
    end = f"python -m deploy.kafka stop --data-dir {data_dir}" if detached else "Ctrl-C"
    return (
        f"Kafka {kafka_version()} (pid {broker.pid}) answers at {address}\n"
        f"  topics  {', '.join(f'{name} ({partitions})' for name, partitions in topics.items()) or 'none'}\n"
        f"  data    {data_dir}\n"
        f"  log     {broker.log_path}\n"
        f"  write   echo 'great app' | kcat -P -b {address} -t reviews\n"
        f"  read    kcat -C -b {address} -t ratings -o beginning\n"
        f"  stop    {end} (the data stays)"
    )


def _topics(text: str) -> dict[str, int]:
    """Parse `name:partitions,...`; the empty text is no topics."""
    topics = {}
    for part in filter(None, text.split(",")):
        name, _, partitions = part.partition(":")
        if not name or not partitions.isdigit() or int(partitions) < 1:
            raise argparse.ArgumentTypeError(f"{part!r} is not name:partitions, for example reviews:6")
        topics[name] = int(partitions)
    return topics


def _default_data_dir() -> Path:
    root = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(root) / "starstream" / "kafka"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.kafka",
        description=f"A real Apache Kafka {kafka_version()} broker on this machine.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="start | stop | status")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--data-dir", type=_absolute, default=_default_data_dir(), metavar="D",
                        help="settings, log and partitions; kept (default: %(default)s)")  # fmt: skip
    start = commands.add_parser("start", parents=[shared], help="start a broker and serve until Ctrl-C")
    start.add_argument("--port", type=int, default=9092, metavar="N", help="default: %(default)s")
    start.add_argument("--topics", type=_topics, default=DEFAULT_TOPICS, metavar="NAME:PARTITIONS,...",
                       help="created when missing (default: %(default)s)")  # fmt: skip
    start.add_argument("--detach", action="store_true", help="leave it running in the background")
    start.set_defaults(run=_start)
    commands.add_parser("stop", parents=[shared], help="end the broker on a data directory").set_defaults(run=_stop)
    commands.add_parser("status", parents=[shared], help="say whether one runs, and where").set_defaults(run=_status)
    return parser


def _absolute(text: str) -> Path:
    return Path(text).expanduser().absolute()


if __name__ == "__main__":
    sys.exit(main())
