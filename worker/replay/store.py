"""A replay's store: a RedisStore under the replay's prefix that also keeps the plan and compares ratings.

Owns the plan's key and the scan over the ratings of a prefix. Never writes under the live prefix; `write_live` does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

from schemas.output.rating_hash import id_of_key
from worker.errors import PermanentError
from worker.redis.client import translated
from worker.redis.store import RedisStore
from worker.replay.diff import FIELDS, Diff, side_of
from worker.replay.plan import Plan, plan_from_json

_READ_RATINGS: Final = 500  # per round trip, and per step of the scan


class ReplayStore(RedisStore):
    """The Store port of a replay. One thread only.

    Raises:
        ServiceError: in every method: Redis does not answer.
    """

    def load_plan(self) -> Plan | None:
        """Return the plan of a replay under this prefix; None when there was none.

        Raises:
            PermanentError: the key holds something else.
        """
        with translated("read the replay's plan", self._client):
            found = self._client.get(self._plan_key)
        try:
            return None if found is None else plan_from_json(found)
        except ValueError as error:
            raise PermanentError("redis", f"{self._plan_key}: {error}; choose another --redis-prefix") from error

    def save_plan(self, plan: Plan) -> None:
        """Store the plan for as long as the ratings are stored."""
        with translated("store the replay's plan", self._client):
            self._client.set(self._plan_key, plan.to_json(), ex=self._ttl_s or None)

    def compare(self, version: str, live_prefix: str, tell: Callable[[int], None] = lambda _count: None) -> Diff:
        """Compare the ratings of a version under this prefix with those under another, in round trips of 500.

        Scans all keys of the server, and holds about 100 bytes a rating, because SCAN may return a key twice.

        Args:
            version: whose ratings are compared; others are counted.
            live_prefix: the prefix of the live ratings.
            tell: called after each round trip with how many ratings were read.
        """
        diff = Diff()
        mine = len(self._prefix.encode())
        count = 0
        with translated("compare ratings", self._client):
            keys = self._rating_keys()
            while chunk := list(islice(keys, _READ_RATINGS)):
                asked = [*chunk, *(live_prefix.encode() + key[mine:] for key in chunk)]
                pipeline = self._client.pipeline(transaction=False)
                for key in asked:
                    pipeline.hmget(key, FIELDS)
                sides = [side_of(values) for values in pipeline.execute()]
                for new, live in zip(sides[: len(chunk)], sides[len(chunk) :], strict=True):
                    if new is not None and new.version == version:
                        diff.add(new, live)
                    elif new is not None:
                        diff.others += 1
                count += len(chunk)
                tell(count)
        return diff

    def ratings(self, version: str) -> Iterator[list[tuple[str, dict[str, str]]]]:
        """Yield ids and hashes of a version's ratings, 500 keys at a time."""
        keys = self._rating_keys()
        with translated("read ratings", self._client):
            while chunk := list(islice(keys, _READ_RATINGS)):
                pipeline = self._client.pipeline(transaction=False)
                for key in chunk:
                    pipeline.hgetall(key)
                found = [
                    {name.decode(): value.decode() for name, value in fields.items()} for fields in pipeline.execute()
                ]
                yield [
                    (id_of_key(key.decode(), prefix=self._prefix), fields)
                    for key, fields in zip(chunk, found, strict=True)
                    if fields.get("model_version") == version
                ]

    @property
    def _plan_key(self) -> str:
        return f"{self._prefix}replay"

    def _rating_keys(self) -> Iterator[Any]:
        """Yield the keys of the ratings under the prefix, each once."""
        pattern = re.sub(r"([*?\[\]\\^-])", r"\\\1", self._prefix) + "rating:{*"
        seen: set[int] = set()
        for key in self._client.scan_iter(match=pattern, count=_READ_RATINGS):
            if (fingerprint := hash(key)) not in seen:  # 64 bits: a million keys collide once in 10^7 replays
                seen.add(fingerprint)
                yield key
