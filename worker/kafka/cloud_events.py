"""Ratings as CloudEvents 1.0 over Kafka, in binary or structured mode.

Owns the event's attributes: its id is the review's position and the model, so that a rating that is published again has
the same. In binary mode the value stays as it is, and the attributes are headers.
"""

from __future__ import annotations

import json
from typing import Final

from typing_extensions import override

from schemas.rating import CONTENT_TYPE
from worker.kafka.outgoing import Headers, RatingForm
from worker.records import Rated

TYPE: Final = "starstream.rating.v1"
STRUCTURED: Final = b"application/cloudevents+json; charset=utf-8"


class CloudEvents(RatingForm):
    """Makes events of ratings."""

    def __init__(self, *, structured: bool) -> None:
        self._structured = structured

    @override
    def of(self, rated: Rated) -> tuple[bytes, Headers]:
        rating = rated.rating
        at = rating.source
        attributes = {
            "specversion": "1.0",
            "id": f"{at.topic}-{at.partition}-{at.offset}-{rating.model_version}",
            "source": f"/starstream/{at.topic}",
            "type": TYPE,
            "subject": rating.review_id,
            "time": rating.rated_at,
        }
        if not self._structured:
            named = [(f"ce_{name}", text.encode()) for name, text in attributes.items()]
            return rated.value, [("content-type", CONTENT_TYPE), *named]
        envelope = json.dumps({**attributes, "datacontenttype": CONTENT_TYPE.decode()}, ensure_ascii=False)
        return b'%s, "data": %s}' % (envelope[:-1].encode(), rated.value), [("content-type", STRUCTURED)]

    @override
    def ping(self) -> None:
        """Return at once: it needs no service."""
