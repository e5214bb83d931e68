"""Summaries and trends in a cluster: a second step, because an app's keys and its ratings are in different slots.

Owns the order of the steps. `write.lua` has written a rating and says what Redis has of the review now; `count.lua`
brings the keys of its app into line, fenced by a note per review; `settle.lua` forgets the apps that it has left. A
crash between two steps is repeated with the batch, and each step again changes nothing. `store` calls this.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from worker.clock import Clock
from worker.redis.call import MARKER_TTL_S, Call, shared_arguments
from worker.redis.servers import Servers, Wait, script
from worker.redis.trend import kept_hours
from worker.settings import WorkerSettings

_CALL_REVIEWS: Final = 256  # of one app


class _Told(NamedTuple):
    """What `write.lua` says of a review."""

    review_id: bytes
    app: bytes  # that counts it, empty for none
    note: bytes  # of that app
    gone: bytes  # the note of the others
    holder: bytes  # the key that remembers the others
    counted_in: bytes  # and as what; empty if it does not
    others: Sequence[bytes]  # apps that may count it, though it is not theirs


class AppCounts:
    """Updates summaries and trends after a batch's ratings. For one thread.

    Args:
        settings: of the keys and the trends.
        client: of the cluster.
        clock: tells which hours the trend keeps.
        wait: the command behind a server's calls, None for none.
    """

    def __init__(self, settings: WorkerSettings, client: Any, clock: Clock, wait: Wait) -> None:
        self._prefix = settings.redis_prefix
        self._trend_ttl_s = settings.trend_ttl_s
        self._clock = clock
        self._count = Servers(client, is_cluster=True, wait=wait, script=script("count"))
        self._settle = Servers(client, is_cluster=True, wait=wait, script=script("settle"))

    def update(self, replies: Sequence[Any], ttl_s: int) -> list[bytes]:
        """Bring the apps' keys into line with what was written, and return what the store reads of the replies.

        Args:
            replies: of `write.lua`, all of a batch.
            ttl_s: how long a rating is kept, 0 indefinitely.

        Raises:
            RedisError: a server refused a call or hangs. The batch must be written again.
        """
        said = [reply[0] for reply in replies]
        told = [_Told._make((*reply[1:7], reply[7:])) for reply in replies if len(reply) > 1]
        if not told:
            return said
        now_s = int(self._clock.wall())
        shared = shared_arguments(self._prefix, kept_hours(now_s, self._trend_ttl_s), self._trend_ttl_s, now_s)
        foreign = _answers(self._count, [*self._counts(told, (*shared, ttl_s))])
        settled: list[Call] = [
            [1, review.holder, *shared, review.gone.split(b"\0")[0], review.counted_in, MARKER_TTL_S]
            for review in told
            if review.counted_in
        ]
        _answers(self._settle, settled)
        return [*said, *foreign]

    def _counts(self, told: Sequence[_Told], begin: Sequence[str | int]) -> Iterator[Call]:
        *shared, ttl_s = begin
        notes: dict[bytes, list[tuple[bytes, bytes]]] = {}
        for review in told:
            if review.app:
                notes.setdefault(review.app, []).append((review.review_id, review.note))
            for other in review.others:
                notes.setdefault(other, []).append((review.review_id, review.gone))
        prefix = self._prefix.encode()
        for app, its_notes in notes.items():
            tag = b"{" + app + b"}"
            for start in range(0, len(its_notes), _CALL_REVIEWS):
                chunk = its_notes[start : start + _CALL_REVIEWS]
                keys = [prefix + b"summary:" + tag, *(prefix + b"counted:" + tag + b":" + name for name, _ in chunk)]
                yield [len(keys), *keys, *shared, app, ttl_s, MARKER_TTL_S, *(note for _, note in chunk)]


def _answers(servers: Servers, calls: Sequence[Call]) -> list[bytes]:
    """Call a script on all servers at the same time, and return the answers."""
    try:
        servers.send(calls)
        return servers.replies()
    finally:
        servers.abandon()
