"""The auditor: an independent client (librdkafka, read_committed) that reads everything and counts.

Owns the definition of lost and duplicated. Does not know what was done to the workers. Every input record must have
exactly the outcome of its header `expect`; Redis must agree with the last outcome of each review in the topic.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import redis

from tests.chaos.reviews import EXPECT
from tests.fixtures.records import read_topic

_EXAMPLES: Final = 3

Outcome = tuple[
    Any, ...
]  # ("rated", partition, offset, id, star), ("rejected", partition, offset, reason), ("deleted", id)
_Ratings = Mapping[str, Mapping[str, Any] | None]  # by review; None: deleted


@dataclass(slots=True)
class Verdict:
    """What the auditor found; `wrong` is empty if everything is correct."""

    reviews: int = 0
    lost: int = 0
    duplicated: int = 0
    dead_lettered: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Ledger:
    """What was produced: how often each outcome is expected, and where the newest record of each review is."""

    expected: Counter[Outcome] = field(default_factory=Counter)
    newest: dict[str, tuple[int, int] | None] = field(default_factory=dict)  # None: deleted
    _newest_at: dict[str, tuple[int, int]] = field(default_factory=dict)  # its partition, and when it was produced

    def read(self, bootstrap: str, topic: str) -> None:
        """Add the records that a topic holds now; call it also before a topic is deleted."""
        for message in read_topic(bootstrap, topic):
            at = (message.partition, message.offset)
            expect = message.header(EXPECT)
            kind, _, detail = expect.partition(":")
            key = message.id
            if kind == "rated":
                self.expected["rated", *at, key, int(detail or 0)] += 1
            elif kind == "rejected":
                self.expected["rejected", *at, detail] += 1
            else:
                self.expected["deleted", key] += 1
            # By time, because a review has records in two partitions when some were added in between; within one by
            # offset, because the machine's clock may be set back.
            partition, produced_ms = self._newest_at.get(key, (-1, 0))
            if kind != "rejected" and (message.partition == partition or message.timestamp >= produced_ms):
                self._newest_at[key] = message.partition, message.timestamp
                self.newest[key] = at if kind == "rated" else None


def audit(
    ledger: Ledger,
    bootstrap: str,
    topics: tuple[str, str],
    store: redis.Redis,
    prefix: str,
    *,
    replay: str | None = None,
) -> Verdict:
    """Compare the output topics and Redis with the ledger.

    Args:
        ledger: what was produced.
        bootstrap: the brokers.
        topics: of ratings and of dead letters.
        store: the workers' Redis.
        prefix: of its keys.
        replay: topic of a replay that wrote under the live keys; its rating of a review's newest record counts there.
    """
    verdict = Verdict(reviews=ledger.expected.total())
    found: Counter[Outcome] = Counter()
    last: dict[str, Mapping[str, Any] | None] = {}
    no_stars = all(outcome[-1] == 0 for outcome in ledger.expected if outcome[0] == "rated")
    for message in read_topic(bootstrap, topics[0]):
        key = message.id
        rating = None if message.value is None else json.loads(message.value)
        last[key] = rating
        if rating is None:
            found["deleted", key] += 1
        else:
            source = rating["source"]
            found["rated", source["partition"], source["offset"], key, 0 if no_stars else rating["rating"]] += 1
    for message in read_topic(bootstrap, topics[1]):
        at = (int(message.header(f"__connect.errors.{name}")) for name in ("partition", "offset"))
        found["rejected", *at, message.header("starstream-reason")] += 1
        verdict.dead_lettered += 1
    lost, extra = ledger.expected - found, found - ledger.expected
    verdict.lost, verdict.duplicated = lost.total(), extra.total()
    verdict.wrong += _examples("lost", lost) + _examples("duplicated or unexpected", extra)
    verdict.wrong += _stale(ledger, last)
    verdict.wrong += _redis_differs(last if replay is None else _replayed(last, bootstrap, replay), store, prefix)
    return verdict


def _replayed(last: _Ratings, bootstrap: str, replay: str) -> _Ratings:
    """Return the last ratings, with the replay's in place of those of the same record."""
    found = dict(last)
    for message in read_topic(bootstrap, replay):
        live = found.get(message.id)
        again = None if message.value is None else json.loads(message.value)
        if live and again and all(live["source"][name] == again["source"][name] for name in ("partition", "offset")):
            found[message.id] = again
    return found


def _stale(ledger: Ledger, last: _Ratings) -> list[str]:
    """Return reviews whose last outcome in the topic is not that of their newest record."""
    stale: Counter[Outcome] = Counter()
    for key, rating in last.items():
        at = None if rating is None else (rating["source"]["partition"], rating["source"]["offset"])
        stale[key, at, ledger.newest.get(key)] += at != ledger.newest.get(key)
    return _examples("last outcome is of an older record", +stale)


def _redis_differs(last: _Ratings, store: redis.Redis, prefix: str) -> list[str]:
    differs: Counter[Outcome] = Counter()
    summaries: dict[str, Counter[str]] = {}
    trends: dict[str, Counter[str]] = {}
    stored = _hashes(store, f"{prefix}rating:")
    for key, rating in last.items():
        fields = stored.pop(f"{{{key}}}", None)
        if rating is None or fields is None:
            differs[key, "in Redis" if fields else "not in Redis"] += (rating is None) != (fields is None)
            continue
        expected = {
            "rating": str(rating["rating"]),
            "model_version": rating["model_version"],
            "partition": str(rating["source"]["partition"]),
            "offset": str(rating["source"]["offset"]),
        }
        found = {**fields, **_place(fields)}
        for name, value in expected.items():
            differs[key, name, f"Redis {found[name]}", f"topic {value}"] += found[name] != value
        if rating["app_id"]:
            _count(summaries.setdefault(rating["app_id"], Counter()), rating["rating"])
            if "source" in fields:  # form 2: form 1 has no trend
                day, hour = _day_and_hour(rating)
                cell = f"{hour}:{rating.get('app_version', '')}:{rating['rating']}"
                trends.setdefault(f"{{{rating['app_id']}}}:{day}", Counter())[cell] += 1
    for key in stored:
        differs[key, "only in Redis"] += 1
    kept = _hashes(store, f"{prefix}summary:")
    for app, summary in summaries.items():
        fields = kept.pop(f"{{{app}}}", {})
        differs["summary", app] += {name: int(value) for name, value in fields.items() if int(value)} != dict(summary)
    kept = _hashes(store, f"{prefix}trend:")
    for key in kept.keys() | trends.keys():
        counts = {name: int(value) for name, value in kept.get(key, {}).items() if int(value)}
        differs["trend", key, str(counts)] += counts != dict(trends.get(key, {}))
    return _examples("Redis differs from the topic", +differs)


def _day_and_hour(rating: Mapping[str, Any]) -> tuple[str, str]:
    """Return the UTC date and hour in which a review was written, else sent."""
    written = rating.get("created_at")
    at_s = datetime.fromisoformat(written).timestamp() if written else rating["source"]["timestamp_ms"] / 1000
    day, _, time = datetime.fromtimestamp(at_s, UTC).isoformat().partition("T")
    return day, time[:2]


def _place(fields: Mapping[str, str]) -> dict[str, str]:
    """Return partition and offset of a hash of either form (WORKER_REDIS_FORM)."""
    packed = fields.get("source", "").split(":")
    partition, offset = packed[2:4] if len(packed) > 1 else (fields["source_partition"], fields["source_offset"])
    return {"partition": partition, "offset": offset}


def _count(summary: Counter[str], star: int) -> None:
    summary["count"] += 1
    summary["sum"] += star
    summary[f"count:{star}"] += 1


def _hashes(store: redis.Redis, prefix: str) -> dict[str, dict[str, str]]:
    keys = [str(key) for key in store.scan_iter(f"{prefix}*", count=5000)]
    pipeline = store.pipeline(transaction=False)
    for key in keys:
        pipeline.hgetall(key)
    return {key.removeprefix(prefix): fields for key, fields in zip(keys, pipeline.execute(), strict=True)}


def _examples(what: str, found: Counter[Outcome]) -> list[str]:
    if not found:
        return []
    first: Iterable[Outcome] = list(found)[:_EXAMPLES]
    return [f"{what}: {found.total()}, such as " + "; ".join(map(str, first))]
