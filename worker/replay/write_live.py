"""Writes a replay's ratings under the live keys (`--write-live`).

Owns the copying. The fence is the workers' own (`worker/redis/write.lua`): a replay's rating of the same record
replaces the older one; a review that was sent again since, or deleted, keeps what it has; all counts stay right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from itertools import groupby, starmap
from operator import itemgetter

from schemas.output.rating_hash import position_from_hash, rating_from_hash
from worker.ops.progress import LongRun
from worker.records import PlainRecord, Rated
from worker.redis.store import RedisStore
from worker.replay.loop import Tools
from worker.replay.plan import Plan
from worker.replay.store import ReplayStore
from worker.settings import WorkerSettings


def write_live(tools: Tools, store: ReplayStore, plan: Plan, live: WorkerSettings) -> None:
    """Write the ratings, and print how many were new, replaced and kept.

    Raises:
        ServiceError: Redis does not answer; repeating it changes nothing.
    """
    topic_id = ""  # of the ratings being written; a topic may have been deleted and created again
    keys = RedisStore(live, metrics=tools.metrics, clock=tools.clock, topic_id=lambda _topic: topic_id)
    counts: Counter[str] = Counter()
    read = 0
    with (
        closing(keys),
        LongRun(tools.console, tools.clock, "writing", max(plan.offsets, 1), unit="ratings") as progress,
    ):
        for hashes in store.ratings(plan.version):
            rows = sorted(filter(None, starmap(_rated, hashes)), key=itemgetter(0))
            for topic_id, group in groupby(rows, itemgetter(0)):  # noqa: B007 (`keys` reads it)
                keys.send([rated for _, rated in group])
                counts.update(keys.flush())
            read += len(hashes)
            progress.update(read, "under the live keys")
    replaced = f"{counts['replayed']} replaced or the same"
    tools.say(
        f"{live.redis_prefix or 'the live keys'}: {replaced}, {counts['written']} new, "
        f"{counts['stale']} kept: sent again since"
    )


def _rated(review_id: str, fields: Mapping[str, str]) -> tuple[str, Rated] | None:
    """Return the topic's id and the outcome; None when another program wrote the hash."""
    at = position_from_hash(fields)
    if at is None or at.timestamp_ms is None:
        return None
    record = PlainRecord(at.topic, at.partition, at.offset, at.timestamp_ms)
    return at.topic_id, Rated(record, rating_from_hash(fields, review_id))
