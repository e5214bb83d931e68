"""Ratings in a schema registry's wire format, so that Kafka Connect's sinks can read the topic as a table.

Owns the registration of the schema, under the topic's usual subject (`<topic>-value`). A schema that is there already
is only looked up, so the right to register is needed once.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

from typing_extensions import override

from schemas.input.wire_format import WireFormat
from schemas.output.rating_schema import avro_schema, avro_text, json_text
from schemas.rating import RATING, Rating
from worker.kafka.outgoing import Headers, RatingForm
from worker.kafka.registry.client import SchemaRegistry
from worker.records import Rated


class RatingEncoder(RatingForm):
    """Encodes ratings; the registry is asked before the first of them only.

    Args:
        form: of the values.
        registry: has the schema, or gets it.
        topic: of the ratings.
    """

    def __init__(self, form: WireFormat, registry: SchemaRegistry, topic: str) -> None:
        self._registry = registry
        self._subject = f"{topic}-value"
        self._schema = ("AVRO", avro_text()) if form == "avro" else ("JSON", json_text())
        self._write = _avro_writer() if form == "avro" else None  # JSON is there already
        self._prefix = b""

    @override
    def of(self, rated: Rated) -> tuple[bytes, Headers]:
        prefix = self._prefix or self._registered()
        return prefix + (rated.value if self._write is None else self._write(rated.rating)), []

    @override
    def ping(self) -> None:
        if not self._prefix:
            self._registered()

    def _registered(self) -> bytes:
        kind, text = self._schema
        self._prefix = b"\0" + self._registry.register(self._subject, text, kind).to_bytes(4, "big")
        return self._prefix


def _avro_writer() -> Callable[[Rating], bytes]:
    import fastavro

    schema: Any = fastavro.parse_schema(avro_schema())
    write, as_fields = fastavro.schemaless_writer, RATING.serializer.to_python

    def written(rating: Rating) -> bytes:
        out = BytesIO()
        write(out, schema, as_fields(rating))
        return out.getvalue()

    return written
