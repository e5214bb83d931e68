"""Clients that each keep one connection and send the next request when they have the last answer (a closed loop).

Written on asyncio's protocols with ready-made bytes, because it shares the cores with the server.
`python -m benchmarks.front.clients '<spec as JSON>'` prints one JSON object: requests, seconds, latencies in ms, CPU.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, Final, cast

import uvloop

from ..arithmetic import quantile
from ..corpus import read_corpus

_FORMS: Final[dict[str, Callable[[list[str]], Any]]] = {
    "ratings": lambda texts: {"text": texts[0]} if len(texts) == 1 else {"reviews": texts},
    "v2": lambda texts: {
        "inputs": [{"name": "text", "shape": [len(texts), 1], "datatype": "BYTES", "data": texts}],
    },
}


@dataclass(frozen=True, slots=True)
class Spec:
    """What to send: `clients` connections for `seconds`, after `warm_up_s` that do not count; `texts` a request."""

    port: int
    path: str
    form: str
    clients: int
    seconds: float
    warm_up_s: float = 1.0
    texts: int = 1


@dataclass(slots=True)
class Seen:
    """Latencies in milliseconds of the requests that were answered in the counted time."""

    begin: float
    end: float
    ms: list[float] = field(default_factory=list)
    wrong: int = 0
    answered: int = 0  # in the time that does not count, too


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, requests: list[bytes], first: int, seen: Seen) -> None:
        self._requests = requests
        self._next = first
        self._seen = seen
        self._answer = bytearray()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._requests[self._next % len(self._requests)])
        self._next += 1

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer; every server here sends its length."""
        self._answer += data
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        now = time.perf_counter()
        self._seen.answered += 1
        if self._sent >= self._seen.begin and now <= self._seen.end:
            self._seen.ms.append((now - self._sent) * 1000)
            self._seen.wrong += not head.startswith(b"HTTP/1.1 200")
        self._answer.clear()
        if now < self._seen.end:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if time.perf_counter() < self._seen.end:
            self.done.set_exception(error or ConnectionResetError("the server closed a connection"))
        else:
            self.done.set_result(None)


def _length(head: bytes | bytearray) -> int:
    at = head.lower().index(b"content-length:") + 15
    return int(head[at:].split(b"\r\n", 1)[0])


def requests_of(spec: Spec) -> list[bytes]:
    """Return requests of different texts, whole."""
    texts = read_corpus().texts
    made = []
    for number in range(512 if spec.texts == 1 else 8):
        chosen = list(islice(texts, number * spec.texts, (number + 1) * spec.texts))
        body = json.dumps(_FORMS[spec.form](chosen)).encode()
        head = f"POST {spec.path} HTTP/1.1\r\nHost: localhost:{spec.port}\r\nContent-Type: application/json\r\n"
        made.append(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return made


async def measure(spec: Spec) -> dict[str, float]:
    requests = requests_of(spec)
    begin = time.perf_counter() + spec.warm_up_s
    seen = Seen(begin, begin + spec.seconds)
    loop = asyncio.get_running_loop()
    clients = []
    for number in range(spec.clients):
        first = number * len(requests) // spec.clients
        connected = await loop.create_connection(partial(Client, requests, first, seen), "127.0.0.1", spec.port)
        clients.append(connected[1])
    async with asyncio.timeout(spec.warm_up_s + spec.seconds + 30):
        await asyncio.gather(*(client.done for client in clients))
    if not seen.ms or seen.wrong:
        raise SystemExit(f"{len(seen.ms)} answers, of which {seen.wrong} are not 200")
    return {
        "requests_per_s": len(seen.ms) / spec.seconds,
        "p50_ms": quantile(seen.ms, 0.5),
        "p99_ms": quantile(seen.ms, 0.99),
        "answered": float(seen.answered),
        "client_cpu_us": time.process_time() / seen.answered * 1e6,
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(measure(Spec(**json.loads(sys.argv[1]))))))
