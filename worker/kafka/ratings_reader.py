"""Reads ratings back from their topic, whatever form they were published in.

Owns the choice by what a record is; `watch`, `restore` and `serve` read the topic with it. Only the wire format of a
schema registry needs the settings that it was written with.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from schemas.rating import RATING, Rating
from worker.kafka.registry.decoder import RegistryDecoder, make_rating_decoder
from worker.records import Record
from worker.settings import WorkerSettings


class RatingsReader:
    """Reads records of the ratings topic.

    Raises:
        SettingsError: the packages that the form needs are not installed.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._decoder: RegistryDecoder | None = make_rating_decoder(settings)

    def read(self, record: Record) -> Rating | None:
        """Return the rating; None for a tombstone and for another program's record.

        Raises:
            ServiceError: the schema registry does not answer.
        """
        value = record.value
        if value is None:
            return None
        try:
            if self._decoder is not None and value[:1] == b"\0":
                return RATING.validate_python(self._decoder.decode(value, record.headers))
            if value.startswith(b'{"specversion"'):
                event: Any = from_json(value)
                return RATING.validate_python(event.get("data"))
            return Rating.from_json(value)
        except ValueError:  # pydantic's and ours are such
            return None
