"""The replay's side of Redis: a RedisStore under the replay's prefix that also keeps the plan and compares ratings.

Owns the plan's key and the walk over the ratings of a prefix. Writes under the live prefix
only when told (`put_live`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

from worker.errors import PermanentError
from worker.redis.store import RedisStore, translated
from worker.replay.diff import FIELDS, Diff, side_of
from worker.replay.plan import Plan, plan_from_json
from worker.replay.write_live import LiveKeys

_READ_RATINGS: Final = 500  # per round trip, and per step of the walk


class ReplayStore(RedisStore):
    """The Store port of a replay. One thread only."""

    def load_plan(self) -> Plan | None:
        """Return what a replay under this prefix set out to do, None when there was none.

        Raises:
            ServiceError: Redis is away, or the key holds something else.
        """
        with translated("read the replay's plan"):
            found = self._any().get(self._plan_key)
        try:
            return None if found is None else plan_from_json(found)
        except ValueError as error:
            raise PermanentError("redis", f"{self._plan_key}: {error}; choose another --redis-prefix") from error

    def save_plan(self, plan: Plan) -> None:
        """Keep the plan for as long as the ratings it leads to.

        Raises:
            ServiceError: Redis is away.
        """
        with translated("keep the replay's plan"):
            self._any().set(self._plan_key, plan.to_json(), ex=self._ttl_s or None)

    def forget_attempts(self) -> None:
        """Drop the notes on records that kill the process: a replay that begins again meets them for the first time.

        Raises:
            ServiceError: Redis is away.
        """
        with translated("forget attempts"):
            self._any().delete(self._attempts_key)

    def compare(self, version: str, live_prefix: str, tell: Callable[[int], None] = lambda _count: None) -> Diff:
        """Compare the ratings of a version under this prefix with those under another, in round trips of 500.

        Walks all keys of the server (SCAN), and holds about 100 bytes a rating: the walk may name a key twice.
        About 70 microseconds of CPU a rating, most of it the client's.

        Args:
            version: whose ratings are compared; others are counted.
            live_prefix: where the other side of each pair is.
            tell: called after each round trip with how many ratings were read.

        Raises:
            ServiceError: Redis is away.
        """
        diff = Diff()
        mine = len(self._prefix.encode())
        count = 0
        with translated("compare ratings"):
            keys = self._rating_keys()
            while chunk := list(islice(keys, _READ_RATINGS)):
                asked = [*chunk, *(live_prefix.encode() + key[mine:] for key in chunk)]
                pipeline = self._any().pipeline(transaction=False)
                for key in asked:
                    pipeline.hmget(key, FIELDS)
                found = [side_of(values) for values in pipeline.execute()]
                for new, live in zip(found[: len(chunk)], found[len(chunk) :], strict=True):
                    if new is not None and new.version == version:
                        diff.add(new, live)
                    elif new is not None:
                        diff.others += 1
                count += len(chunk)
                tell(count)
        return diff

    def put_live(self, version: str, live: LiveKeys, tell: Callable[[int], None] = lambda _count: None) -> Counter[str]:
        """Put the ratings of a version under the live keys, where they are of the record that is rated there.

        Args:
            version: whose ratings; others are left.
            live: the keys.
            tell: called after each round trip with how many ratings were read.

        Raises:
            ServiceError: Redis is away; doing it again is doing it once.
        """
        counts: Counter[str] = Counter()
        keys = self._rating_keys()
        read = 0
        while chunk := list(islice(keys, _READ_RATINGS)):
            with translated("read ratings"):
                pipeline = self._any().pipeline(transaction=False)
                for key in chunk:
                    pipeline.hgetall(key)
                found = [{name.decode(): value.decode() for name, value in each.items()} for each in pipeline.execute()]
            counts.update(live.put([each for each in found if each.get("model_version") == version]))
            read += len(chunk)
            tell(read)
        return counts

    @property
    def _plan_key(self) -> str:
        return f"{self._prefix}replay"

    def _rating_keys(self) -> Iterator[Any]:
        """Yield the keys of the ratings under the prefix, each once."""
        pattern = re.sub(r"([*?\[\]\\^-])", r"\\\1", self._prefix) + "rating:{*"
        seen: set[int] = set()
        for key in self._any().scan_iter(match=pattern, count=_READ_RATINGS):
            if (fingerprint := hash(key)) not in seen:  # 64 bits: two of a million keys meet once in 10^7 replays
                seen.add(fingerprint)
                yield key
