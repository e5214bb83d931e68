"""Looks up ratings that are stored in Redis. Reads only.

Owns its connection; `worker.redis.store` writes the ratings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from schemas.rating import rating_key
from worker.redis.client import connect, translated
from worker.settings import WorkerSettings

_FIELDS: Final = ("model_version", "rating")


class RatingsInRedis:
    """Looks up the rating of a review and the model version that gave it."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._prefix = settings.redis_prefix
        self._client: Any = connect(settings, decode_responses=True)

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
            found = pipeline.execute()
        return {
            review_id: (version, int(rating))
            for review_id, (version, rating) in zip(unique, found, strict=True)
            if version and rating and rating.lstrip("-").isdigit()  # other programs can write to Redis, too
        }
