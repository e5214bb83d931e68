"""Looks up ratings and summaries that are stored in Redis. Reads only.

Owns its connection; `worker.redis.store` writes the ratings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError
from redis.exceptions import ResponseError

from schemas.output.rating_hash import rating_from_hash
from schemas.rating import Rating, rating_key, summary_key
from worker.redis.client import connect, translated
from worker.redis.counts import Counts, counts_of, summary_cells
from worker.redis.trend import Trend, cells_of, days_of, trend_key
from worker.settings import WorkerSettings

_FIELDS: Final = ("model_version", "rating")
_STARS: Final = re.compile(r"-?[0-9]{1,9}")
_READ_DAYS: Final = 100  # in one round trip


class RatingsInRedis:
    """Looks up ratings by review id, and summaries by app.

    Raises:
        ServiceError: in every method: Redis does not answer.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._prefix = settings.redis_prefix
        # Other programs can write to Redis, too: one of their keys must not cost the ratings asked for with it.
        self._client: Any = connect(settings, decode_responses=True, encoding_errors="replace")

    def find(self, review_ids: Sequence[str]) -> Mapping[str, tuple[str, int]]:
        """Return model version and stars by review id, for the ids that have a rating.

        Raises:
            ServiceError: Redis does not answer.
        """
        unique = list(dict.fromkeys(review_ids))
        with translated("look up ratings", self._client):
            pipeline = self._client.pipeline(transaction=False)
            for review_id in unique:
                pipeline.hmget(rating_key(review_id, prefix=self._prefix), _FIELDS)
            found = pipeline.execute(raise_on_error=False)
            for reply in found:
                if isinstance(reply, Exception) and "WRONGTYPE" not in str(reply):
                    raise reply
        hashes = {
            review_id: reply for review_id, reply in zip(unique, found, strict=True) if not isinstance(reply, Exception)
        }
        return {
            review_id: (version, int(rating))
            for review_id, (version, rating) in hashes.items()
            if version and rating and _STARS.fullmatch(rating)
        }

    def _hash(self, doing: str, key: str) -> dict[str, str]:
        """Return a hash; nothing when there is none, or another program keeps something else there."""
        with translated(doing, self._client):
            try:
                found: dict[str, str] = self._client.hgetall(key)
            except ResponseError as error:
                if "WRONGTYPE" not in str(error):
                    raise
                return {}
        return found

    def rating(self, review_id: str) -> Rating | None:
        """Return the rating of a review; None when it has none, or when something else wrote there."""
        found = self._hash("read the rating", rating_key(review_id, prefix=self._prefix))
        try:
            return rating_from_hash(found, review_id) if found else None
        except ValidationError:
            return None

    def trend(self, app_id: str, hours: range) -> Trend:
        """Return an app's stars in these hours since 1970, and those of hours that it does not keep."""
        found = Trend()
        days = [None, *days_of(hours)]
        with translated("read the trend", self._client):
            for start in range(0, len(days), _READ_DAYS):
                chunk = days[start : start + _READ_DAYS]
                pipeline = self._client.pipeline(transaction=False)
                for day in chunk:
                    pipeline.hgetall(trend_key(app_id, day, prefix=self._prefix))
                for day, fields in zip(chunk, pipeline.execute(), strict=True):
                    for cell, count in cells_of(day, fields):
                        if day is None:
                            found.outside[cell.star] += count
                        elif cell.hour in hours:
                            found.cells[cell] += count
        return found

    def summary(self, app_id: str) -> Counts | None:
        """Return the summary of an app; None when none of its reviews has a rating."""
        found = counts_of(summary_cells(self._hash("read the summary", summary_key(app_id, prefix=self._prefix))))
        return found if found.count else None
