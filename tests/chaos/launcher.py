"""Starts a worker with faults in it: `python -m tests.chaos.launcher [--fail ..] [--plant ..] -- run FLAGS`.

Owns the fail points, so that `worker/` itself contains nothing for tests. A fail point is `POINT:ACTION:CALL`: when the
loop reaches POINT for the CALL-th time, do ACTION:

    die     SIGKILL itself
    stop    SIGSTOP itself; once continued, wait until the group has evicted it, then continue
    lose    let the call have its effect, then raise as if the broker's answer had been lost
    hold    create the file `POINT.reached` and wait for the file `POINT.release`, both in --signals

The points between two polls, in order (README.md lists what a crash leaves behind at each):

    noted          the attempt is noted in Redis, nothing is rated yet
    before_commit  rated and sent to Redis, no transaction yet
    before_redis   the transaction is open, Redis is not flushed
    half_redis     the same, and half of the batch is in Redis
    uncounted      a Redis Cluster has the batch, and the apps' summaries and trends have nothing of it yet
    half_counted   the same, and they have half of it
    stored         Redis has the batch, the transaction is open
    after_send     the brokers have the outcomes, but not the offsets
    before_end     the offsets are in the transaction, too; it is still open
    during_end     somewhere inside the transaction's commit
    answer         committed, the broker's answer has not been read
    after_end      committed, nothing else done yet
    before_offsets at-least-once: published and acknowledged, offsets not committed
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import worker.__main__ as command
import worker.run.app
import worker.run.supervisor
import worker.stream.pipeline
from tests.chaos import planted
from tests.chaos.both_clients import OpenProducer, is_evicted, lost_answer
from worker.kafka.confluent.source import ConfluentSource
from worker.kafka.delivery import ExactlyOnce
from worker.kafka.python.producer import BoundedProducer
from worker.kafka.python.source import KafkaSource
from worker.model.classifier import TfliteClassifier
from worker.redis.app_counts import AppCounts
from worker.redis.store import RedisStore

KILLER = "segfault"  # a review with this word kills the process that rates it
_NOTICE_S: Final = 8.0  # longest wait of a continued process for its eviction
_LOOK_EVERY_S: Final = 0.02


@dataclass(slots=True)
class FailPoint:
    """One fault, which happens once."""

    action: str
    call: int
    reached: Path
    release: Path
    calls: int = 0

    def reach(self) -> None:
        """Count a call; act at the chosen one."""
        self.calls += 1
        if self.calls != self.call:
            return
        self.reached.touch()
        if self.action == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.action == "lose":
            raise lost_answer()
        elif self.action == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
            _await_eviction()
        else:
            while not self.release.exists():
                time.sleep(_LOOK_EVERY_S)


Act = Callable[[], None]
_sources: list[KafkaSource | ConfluentSource] = []


def main(arguments: Sequence[str]) -> int:
    """Put the faults in, and run the worker's own command."""
    parser = argparse.ArgumentParser(prog="tests.chaos.launcher")
    parser.add_argument("--fail", action="append", default=[], metavar="POINT:ACTION:CALL")
    parser.add_argument("--plant", action="append", default=[], choices=sorted(planted.FAULTS))
    parser.add_argument("--signals", type=Path, default=Path())
    parser.add_argument("--killer", action="store_true", help=f"the word {KILLER!r} kills the classifier's process")
    parser.add_argument("--clock", action="store_true", help="the wall clock jumps back by up to an hour")
    cut = list(arguments).index("--")
    own, rest = list(arguments[:cut]), list(arguments[cut + 1 :])
    chosen = parser.parse_args(own)
    _remember_sources()
    for fail in chosen.fail:
        point, action, call = fail.split(":")
        made = FailPoint(action, int(call), chosen.signals / f"{point}.reached", chosen.signals / f"{point}.release")
        POINTS[point](made.reach)
    for name in chosen.plant:
        planted.FAULTS[name]()
    if chosen.killer:
        _die_on_killer_word()
    if chosen.clock:
        _jump_back()
    _launch_children_with(own)
    return command.main(rest)


def _before(name: str, *owners: type) -> Callable[[Callable[[], None]], None]:
    """Return a function that puts a fail point before a method."""

    def put(owner: Any, act: Callable[[], None]) -> None:
        real = getattr(owner, name)

        def wrapped(*args: Any, **options: Any) -> Any:
            act()
            return real(*args, **options)

        setattr(owner, name, wrapped)

    return _for_each(owners, put)


def _stored(act: Callable[[], None]) -> None:
    real = RedisStore.flush

    def flush(self: RedisStore) -> Any:
        counts = real(self)
        act()
        return counts

    RedisStore.flush = flush  # type: ignore[method-assign]


def _half_redis(act: Callable[[], None]) -> None:
    """Store half of the batch before the point, all of it after it."""
    send, flush = RedisStore.send, RedisStore.flush
    batch: list[Any] = []

    def keep(_self: RedisStore, outcomes: Sequence[Any]) -> None:
        batch.extend(outcomes)

    def flush_half(self: RedisStore) -> Any:
        outcomes = batch.copy()
        batch.clear()
        send(self, outcomes[: len(outcomes) // 2])
        flush(self)
        act()
        send(self, outcomes)
        return flush(self)

    def abandon(_self: RedisStore) -> None:
        batch.clear()

    RedisStore.send = keep  # type: ignore[method-assign,assignment]
    RedisStore.flush = flush_half  # type: ignore[method-assign]
    RedisStore.abandon = abandon  # type: ignore[method-assign,assignment]


def _half_counted(act: Callable[[], None]) -> None:
    real = AppCounts.update

    def update(self: AppCounts, replies: Sequence[Any], ttl_s: int) -> list[bytes]:
        real(self, replies[: len(replies) // 2], ttl_s)
        act()
        return real(self, replies, ttl_s)

    AppCounts.update = update  # type: ignore[method-assign]


def _after_send(producer: Any, act: Callable[[], None]) -> None:
    name = "send_offsets" if hasattr(producer, "send_offsets") else "send_offsets_to_transaction"
    real = getattr(producer, name)

    def flush_first(self: Any, *args: Any) -> Any:
        self.flush(timeout=10)
        act()
        return real(self, *args)

    setattr(producer, name, flush_first)


def _during_end(producer: Any, act: Callable[[], None]) -> None:
    real = producer.commit_transaction

    def commit(self: Any, *args: Any) -> Any:
        timer = threading.Timer(random.uniform(0.0, 0.006), act)  # noqa: S311  (a delay, not a secret)
        timer.start()
        return real(self, *args)

    producer.commit_transaction = commit


def _after(owner: Any, act: Callable[[], None]) -> None:
    """Put a fail point after the commit of a delivery, or of its producer's transaction."""
    name = "commit_transaction" if hasattr(owner, "commit_transaction") else "commit"
    real = getattr(owner, name)

    def commit(self: Any, *args: Any) -> None:
        real(self, *args)
        act()

    setattr(owner, name, commit)


def _for_each(
    owners: Sequence[Any], put: Callable[[Any, Callable[[], None]], None]
) -> Callable[[Callable[[], None]], None]:
    """Return a function that puts a fail point into the class of each client."""

    def put_into_all(act: Callable[[], None]) -> None:
        for owner in owners:
            put(owner, act)

    return put_into_all


# Both clients' producers; a worker uses one of them.
_PRODUCERS: Final = (BoundedProducer, OpenProducer)
POINTS: Final[dict[str, Callable[[Callable[[], None]], None]]] = {
    "noted": _before("_parse", worker.stream.pipeline.Pipeline),
    "before_commit": _before("prepare", ExactlyOnce),
    "before_redis": _before("flush", RedisStore),
    "half_redis": _half_redis,
    "uncounted": _before("update", AppCounts),
    "half_counted": _half_counted,
    "stored": _stored,
    "after_send": _for_each(_PRODUCERS, _after_send),
    "before_end": _before("commit_transaction", *_PRODUCERS),
    "during_end": _for_each(_PRODUCERS, _during_end),
    "answer": _for_each(_PRODUCERS, _after),
    "after_end": _for_each((ExactlyOnce,), _after),
    "before_offsets": _before("commit", KafkaSource, ConfluentSource),
}


def _remember_sources() -> None:
    def put(source: Any, _act: object) -> None:
        real = source.__init__

        def remember(self: Any, *args: Any, **options: Any) -> None:
            real(self, *args, **options)
            _sources.append(self)

        source.__init__ = remember

    _for_each((KafkaSource, ConfluentSource), put)(lambda: None)


def _await_eviction() -> None:
    """Block until the client knows that it is no longer a member: the worst moment to continue."""
    until = time.monotonic() + _NOTICE_S
    while time.monotonic() < until:
        if any(map(is_evicted, _sources)):
            return
        time.sleep(_LOOK_EVERY_S)


def _die_on_killer_word() -> None:
    real = TfliteClassifier.rate

    def rate(self: TfliteClassifier, pending: Sequence[Any], *rest: Any) -> Any:
        if any(KILLER in review.review.text for review in pending):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, pending, *rest)

    TfliteClassifier.rate = rate  # type: ignore[method-assign,assignment]


def _jump_back() -> None:
    """Let any call of `time.time` return up to an hour less; `time.monotonic` is unchanged."""
    real = time.time
    time.time = lambda: real() - random.choice((0.0, 0.05, 3600.0))  # noqa: S311


def _launch_children_with(own: Sequence[str]) -> None:
    """Let a supervisor start its children with the same faults."""
    real = subprocess.Popen
    me = ["-m", "tests.chaos.launcher", *own, "--"]

    def start(words: Sequence[str], **options: Any) -> Any:
        program, _, _, *rest = words  # python -m worker run ...
        return real([program, *me, *rest], **options)

    shim = SimpleNamespace(Popen=start, TimeoutExpired=subprocess.TimeoutExpired)
    worker.run.supervisor.subprocess = shim  # type: ignore[attr-defined,assignment]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
