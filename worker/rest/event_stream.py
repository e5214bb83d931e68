"""The ratings topic as server-sent events, for any number of browsers from one consumer.

Owns the thread that reads the topic, which runs while somebody listens. A listener that is too slow misses ratings and
gets the number of those it missed; no one waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response, params
from pydantic_core import to_json
from starlette.responses import StreamingResponse

from schemas.rating import Rating
from worker.backoff import Backoff
from worker.errors import WorkerError
from worker.kafka.python.topics import Topics
from worker.kafka.ratings_reader import RatingsReader
from worker.records import Record
from worker.rest.front import Front
from worker.rest.problems import describe_problems, try_again

_MOST_LISTENERS: Final = 100
_MOST_WAITING: Final = 200  # events of one listener
_LOOK_S: Final = 1.0  # a stop is seen within it
_QUIET_S: Final = 15  # then a comment is sent, so that proxies keep the connection and a listener that left is noticed


@dataclass(frozen=True, slots=True)
class Event:
    """What listeners get: a rating, a deletion, or why nothing comes."""

    kind: str
    data: bytes
    rating: Rating | None = None

    def to_bytes(self) -> bytes:
        """Return it as the wire has it."""
        return b"event: %s\ndata: %s\n\n" % (self.kind.encode(), self.data)


_OPEN: Final = Event("open", b"{}")


@dataclass(slots=True, eq=False)
class Listener:
    """One open answer, with its filter."""

    app_id: str | None
    min_stars: int | None
    max_stars: int | None
    uncertain: bool
    label: str | None = None
    events: deque[Event] = field(default_factory=deque)
    missed: int = 0
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def offer(self, event: Event) -> None:
        """Take an event that passes the filter."""
        if not self._wants(event.rating):
            return
        if len(self.events) < _MOST_WAITING:
            self.events.append(event)
        else:
            self.missed += 1
        self.wake.set()

    def _wants(self, rating: Rating | None) -> bool:
        return rating is None or (
            (self.app_id is None or rating.app_id == self.app_id)
            and (self.min_stars is None or (rating.rating is not None and rating.rating >= self.min_stars))
            and (self.max_stars is None or (rating.rating is not None and rating.rating <= self.max_stars))
            and (self.label is None or self.label in (rating.labels or {}))
            and (rating.uncertain or not self.uncertain)
        )


class Live:
    """Hands what the topic gets to the listeners. Its methods are called on the event loop."""

    def __init__(self, front: Front) -> None:
        self._process = front.process
        self._stop = front.stop
        self._listeners: set[Listener] = set()
        self._reading = False  # whether the thread runs
        self._is_open = False  # whether it has reached the end of the topic
        self._lock = threading.Lock()  # of all three

    async def listen(self, listener: Listener) -> AsyncIterator[bytes]:
        """Yield the events of one listener until it leaves or the process stops."""
        with self._lock:
            self._listeners.add(listener)
            is_first, self._reading = not self._reading, True
            if self._is_open:
                listener.offer(_OPEN)
        if is_first:
            loop = asyncio.get_running_loop()
            threading.Thread(target=self._read, args=(loop,), name="live", daemon=True).start()
        quiet_s = 0.0
        try:
            yield b": the ratings that are committed from now on\n\n"
            while not self._stop.is_set():
                try:
                    await asyncio.wait_for(listener.wake.wait(), _LOOK_S)
                    quiet_s = 0.0
                except TimeoutError:
                    quiet_s += _LOOK_S
                listener.wake.clear()
                while listener.events:
                    yield listener.events.popleft().to_bytes()
                if listener.missed:
                    missed, listener.missed = listener.missed, 0
                    yield Event("missed", to_json({"ratings": missed})).to_bytes()
                if quiet_s >= _QUIET_S:
                    quiet_s = 0.0
                    yield b": still here\n\n"
        finally:
            with self._lock:
                self._listeners.discard(listener)

    @property
    def full(self) -> bool:
        """Whether there are as many listeners as may be."""
        return len(self._listeners) >= _MOST_LISTENERS

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read the topic on this thread while somebody listens; a broker that is away is waited for."""
        backoff = Backoff()
        while self._wanted():
            self._is_open = False
            try:
                self._follow(loop, backoff)
            except WorkerError as error:  # SettingsError: there is no such topic yet
                self._process.log(logging.WARNING, "live_failed", reason=str(error))
                self._hand_over(loop, [Event("problem", to_json({"detail": str(error)}))])
                self._stop.wait(backoff.next_s())

    def _follow(self, loop: asyncio.AbstractEventLoop, backoff: Backoff) -> None:
        settings = self._process.settings
        with closing(Topics(settings, self._process.clock)) as topics:
            topics.require([settings.output_topic], "WORKER_OUTPUT_TOPIC")
            ratings = RatingsReader(settings)
            events: list[Event] = []
            for record in topics.follow(settings.output_topic, 0):
                if record is not None:
                    events += _events_of(record, ratings)
                    continue
                if not self._is_open:
                    backoff.reset()
                    self._set_open(loop)
                self._hand_over(loop, events)
                events = []
                if not self._wanted():
                    return

    def _set_open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell those who wait for it that nothing is missed from now on; later listeners hear it at once."""
        with self._lock:
            self._is_open = True
            self._hand_over(loop, [_OPEN])

    def _wanted(self) -> bool:
        with self._lock:
            self._reading = bool(self._listeners) and not self._stop.is_set()
            self._is_open = self._is_open and self._reading
            return self._reading

    def _hand_over(self, loop: asyncio.AbstractEventLoop, events: Sequence[Event]) -> None:
        if events and not loop.is_closed():
            loop.call_soon_threadsafe(self._offer, events)

    def _offer(self, events: Sequence[Event]) -> None:
        for listener in self._listeners:
            for event in events:
                listener.offer(event)


def _events_of(record: Record, ratings: RatingsReader) -> list[Event]:
    if record.value is None:
        return [Event("deleted", to_json({"review_id": (record.key or b"").decode(errors="replace")}))]
    rating = ratings.read(record)
    return [] if rating is None else [Event("rating", rating.to_json(), rating)]


def live_routes(front: Front, reads: params.Depends) -> APIRouter:
    """Return the route."""
    router = APIRouter(prefix="/v1")
    live = Live(front)
    events: dict[str, Any] = {"description": "Server-sent events", "content": {"text/event-stream": {}}}

    @router.get(
        "/stream",
        summary="The ratings as they are committed",
        tags=["ratings"],
        dependencies=[reads],
        response_class=StreamingResponse,
        responses={200: events, **describe_problems(401, 422, 503)},
    )
    async def stream(
        app_id: Annotated[str | None, Query(description="Only this app's.")] = None,
        min_stars: Annotated[int | None, Query(ge=1, le=5, description="Only this many stars or more.")] = None,
        max_stars: Annotated[int | None, Query(ge=1, le=5, description="Only this many stars or fewer.")] = None,
        label: Annotated[str | None, Query(description="Only those with this label.")] = None,
        *,
        uncertain: Annotated[bool, Query(description="Only those under WORKER_MIN_CONFIDENCE.")] = False,
    ) -> Response:
        if live.full:
            raise try_again(503, f"{_MOST_LISTENERS} listeners are connected already", 10)
        listener = Listener(app_id, min_stars, max_stars, uncertain, label)
        return StreamingResponse(live.listen(listener), media_type="text/event-stream")

    return router
