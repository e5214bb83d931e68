"""The arguments of one call of `write.lua`: keys and values of a chunk's ratings and deletions.

Owns their layout, which the script describes, and the form of the hash. Pure; `store` sends them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, Final

from schemas.output.rating_hash import ABSENT, ID_CHARS, Form, Text, hash_columns
from schemas.output.review_time import review_time_s
from schemas.rating import Rating, summary_key
from worker.clock import Clock
from worker.records import Deleted, Rated
from worker.redis.trend import DAY_S, HOUR_S, kept_hours
from worker.settings import WorkerSettings

Call = list[Any]  # the arguments of one EVALSHA: number of keys, keys, values
MARKER_TTL_S: Final = 24 * 3600  # how long a deletion is remembered, to refuse late writes
_COUNTED: Final = "+"
_OUTSIDE: Final = "o"  # instead of an hour: the trend does not keep it


class Calls:
    """Makes the arguments.

    Args:
        settings: of the keys, the form, the summaries and the trends.
        clock: tells which hours the trend keeps.
        topic_id: the brokers' id of a topic, `""` when they have none.
    """

    def __init__(self, settings: WorkerSettings, clock: Clock, topic_id: Callable[[str], str]) -> None:
        self._prefix = settings.redis_prefix
        self._one_slot = settings.redis_cluster
        self._form: Form = 2 if settings.redis_form == 2 else 1
        self._summary = settings.redis_summary
        self._trend = settings.keeps_trends
        self._trend_ttl_s = settings.trend_ttl_s
        self._clock = clock
        self._topic_id = topic_id

    def make(self, rows: Sequence[Rated | Deleted], ttl_s: int) -> Call:
        """Return the arguments of one EVALSHA; `ttl_s` is how long a rating is kept, 0 indefinitely."""
        rated = [row for row in rows if isinstance(row, Rated)]
        now_s = int(self._clock.wall())
        hours = kept_hours(now_s, self._trend_ttl_s)
        places = self._places(rows, hours)
        columns = dict(self._columns(rated)) if rated else {"rating": []}
        # `rating` comes first, because it tells a rating from a deletion.
        varying = {"rating": columns.pop("rating")}
        shared: list[Text] = []
        for name, column in columns.items():
            if column.count(column[0]) < len(column):
                varying[name] = column
            elif column[0] != ABSENT:
                shared += (name, column[0])
        if len(rated) < len(rows):
            varying = {name: _with_gaps(rows, column) for name, column in varying.items()}
        begin = shared_arguments(self._prefix, hours, self._trend_ttl_s, now_s)
        settings = (*begin, ttl_s, MARKER_TTL_S, self._form, int(self._one_slot))
        fields = (len(shared) // 2, *shared, len(varying), *varying)
        keys = self._keys(rows)
        return [len(keys), *keys, *settings, *fields, *chain.from_iterable(zip(places, *varying.values(), strict=True))]

    def _keys(self, rows: Sequence[Rated | Deleted]) -> list[str]:
        """Return the keys of each rating and of its deletion's marker."""
        keys: list[str] = []
        for row in rows:
            review_id = row.fields.review_id if isinstance(row, Rated) else row.review_id
            rating = f"{self._prefix}rating:{{{review_id}}}"
            # `{}` is not a hash tag, so only the same key is sure to be in the slot.
            alone = self._one_slot and review_id.startswith("}")
            keys += (rating, rating if alone else f"{self._prefix}deleted:{{{review_id}}}")
        return keys

    def _places(self, rows: Sequence[Rated | Deleted], hours: range) -> list[str]:
        begins: dict[tuple[str, int], str] = {}
        counted_at: dict[tuple[str, int], str] = {}  # where the review has no time of its own: by app and record's time
        places = []
        for row in rows:
            record = row.record
            topic, partition, stamp = record.topic, record.partition, record.timestamp
            begin = begins.get((topic, partition))
            if begin is None:
                topic_id = self._topic_id(topic)
                begin = f"{topic}:{topic_id[:ID_CHARS] if self._form == 2 else topic_id}:{partition}:"
                begins[topic, partition] = begin
            counted: str | None = ""
            if isinstance(row, Rated) and (app := (rating := row.fields).app_id):
                if rating.created_at is not None:
                    counted = self._counted(rating, hours)
                elif (counted := counted_at.get((app, stamp))) is None:
                    counted = counted_at[app, stamp] = self._counted(rating, hours)
            places.append(f"{begin}{record.offset}:{stamp}:{counted}")
        return places

    def _counted(self, rating: Rating, hours: range) -> str:
        """Return what a rating of an app is counted in: the summary, and an hour of the trend."""
        if not self._summary or (self._one_slot and not has_slot(rating.app_id or "")):
            return ""
        if not self._trend:
            return _COUNTED
        time_s = review_time_s(rating)
        hour = None if time_s is None else int(time_s // HOUR_S)
        return f"{_COUNTED}{hour if hour in hours else _OUTSIDE}"

    def _columns(self, rated: Sequence[Rated]) -> Iterator[tuple[str, Sequence[Text]]]:
        yield from hash_columns([row.fields for row in rated], self._form)
        if self._form == 2:
            return
        records = [row.record for row in rated]
        yield "source_topic", [record.topic for record in records]
        yield "source_topic_id", [self._topic_id(record.topic) for record in records]
        yield "source_partition", [record.partition for record in records]
        yield "source_offset", [record.offset for record in records]
        yield "source_timestamp_ms", [record.timestamp for record in records]
        apps = [row.fields.app_id if self._summary else None for row in rated]
        yield "summary", [summary_key(app, prefix=self._prefix) if app else ABSENT for app in apps]


def shared_arguments(prefix: str, hours: range, trend_ttl_s: int, now_s: int) -> tuple[str, int, int]:
    """Return the first arguments of each script; `hours` are those whose trend is kept."""
    return prefix, hours.start, DAY_S + trend_ttl_s - now_s


def has_slot(app_id: str) -> bool:
    """Whether all keys of an app are in one slot of a cluster: `{}` is not a hash tag."""
    return not app_id.startswith("}")


def _with_gaps(rows: Sequence[Rated | Deleted], column: Sequence[Text]) -> list[Text]:
    """Return a column with nothing in place of each deletion."""
    values = iter(column)
    return [next(values) if isinstance(row, Rated) else ABSENT for row in rows]
