"""`python -m deploy.kafka.measure`: how long the local services take to come and go, and what they hold.

Owns the figures of ../LOG.md; prints one line per event and never asserts anything. Linux only (/proc).
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

from deploy.kafka.broker import JVM_FLAGS, LocalKafka
from deploy.kafka.embedded import EmbeddedKafka
from deploy.process import LocalService, ServiceUnavailable
from deploy.redis import LocalRedis


def main() -> None:
    """Measure Kafka, its stand-in and Redis, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m deploy.kafka.measure", description=__doc__)
    parser.add_argument("--jvm", default=" ".join(JVM_FLAGS), help="flags for java (default: %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a broker setting")
    arguments = parser.parse_args()
    settings = dict(pair.split("=", 1) for pair in arguments.set)
    with LocalKafka(jvm_flags=arguments.jvm.split(), extra_properties=settings) as once:
        once.stop()  # the jars are there now, and warm
    broker = LocalKafka(jvm_flags=arguments.jvm.split(), extra_properties=settings)
    _measure(broker, lambda: broker.create_topics({"reviews": 6, "ratings": 6, "reviews.dlq": 1}))
    _measure(EmbeddedKafka())
    _measure(LocalRedis(appendonly=True))


def _measure(service: LocalService, use: Callable[[], None] = lambda: None) -> None:
    try:
        _timed(f"{service.name}: first start", service.start)
    except ServiceUnavailable as missing:
        print(f"{service.name}: {missing}")
        return
    _timed(f"{service.name}: first use", use)
    print(f"{service.name}: memory {_resident_mb(service.pid):.0f} MB, CPU so far {_cpu_s(service.pid):.1f} s")
    _timed(f"{service.name}: stop", service.stop)
    _timed(f"{service.name}: start again", service.start)
    service.kill()
    _timed(f"{service.name}: start after kill -9", service.start)
    service.close()


def _timed(event: str, action: Callable[[], None]) -> None:
    before_s = time.monotonic()
    action()
    print(f"{event} {time.monotonic() - before_s:.2f} s", flush=True)


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
