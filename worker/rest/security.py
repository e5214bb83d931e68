"""Who may ask, for what, and how often; and the headers by which browsers keep other sites out.

Owns the tokens, the rate limit, and the security headers. Logs nothing of a request.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections import OrderedDict
from typing import Annotated, Final

from fastapi import Depends, Security, params
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.clock import Clock
from worker.rest.problems import Problem, try_again
from worker.settings import WorkerSettings

_CLIENTS_KEPT: Final = 10_000
_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_BEARER: Final = HTTPBearer(auto_error=False, description="WORKER_REST_TOKEN, when it is set.")
Given = Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_RAW_HEADERS: Final = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


class Access:
    """Who may rate and read, and who may change what is stored.

    With neither token set everybody may do both. With the read-only one alone nobody may change anything.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._token = settings.rest_token
        self._read_token = settings.rest_read_token
        self._is_open = is_open(settings.rest_token, settings.rest_read_token)

    def rights(self) -> tuple[params.Depends, params.Depends]:
        """Return what routes depend on: the right to rate and read, and the right to change what is stored.

        The OpenAPI document asks for a token only when one is set.
        """
        if self._is_open:
            return Depends(_anybody), Depends(_anybody)
        return Depends(self.reads), Depends(self.writes)

    def check_reads(self, authorization: str | None) -> None:
        """Let a request with this header rate and read.

        Raises:
            Problem: 401, it has no valid token.
        """
        if self._is_open:
            return
        scheme, given = get_authorization_scheme_param(authorization)
        is_bearer = scheme.lower() == "bearer"
        if not (is_bearer and (_same(given, self._token) or _same(given, self._read_token))):
            raise Problem(401, "a bearer token is needed", headers={"WWW-Authenticate": "Bearer"})

    async def reads(self, given: Given) -> None:
        """Let a request rate and read.

        Raises:
            Problem: 401, it has no valid token.
        """
        self.check_reads(None if given is None else f"{given.scheme} {given.credentials}")

    async def writes(self, given: Given) -> None:
        """Let a request change what is stored.

        Raises:
            Problem: 401, it has no valid token; 403, it has the read-only one.
        """
        await self.reads(given)
        if given is None or not _same(given.credentials, self._token):
            raise Problem(403, "this token may rate and read only; WORKER_REST_TOKEN may do more")


async def _anybody() -> None:
    """Let every request in."""


def is_open(*tokens: SecretStr | None) -> bool:
    """Return whether anybody may ask."""
    return not any(tokens)


def _same(given: str, token: SecretStr | None) -> bool:
    return token is not None and hmac.compare_digest(given.encode(), token.get_secret_value().encode())


class RateLimit:
    """A budget of reviews for each client address, which refills with time and is a second's worth at most.

    A request that begins within the budget is taken whole, and what it takes beyond that is owed: a limit below the
    size of a request slows its client down and does not shut it out.
    """

    def __init__(self, reviews_per_s: float, clock: Clock) -> None:
        self._per_s = reviews_per_s
        self._clock = clock
        self._budgets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # what is left, and at what time

    def take(self, client: str) -> None:
        """Take one review from a client's budget.

        Raises:
            Problem: 429, nothing is left.
        """
        if self._per_s == 0:
            return
        now = self._clock.monotonic()
        left, at = self._budgets.pop(client, (self._per_s, now))
        left = min(self._per_s, left + (now - at) * self._per_s)
        self._budgets[client] = (left - 1 if left > 0 else left, now)
        while len(self._budgets) > _CLIENTS_KEPT:
            self._budgets.popitem(last=False)
        if left <= 0:
            wait_s = max(1, round(-left / self._per_s + 0.5))
            raise try_again(429, "over the rate of one client (WORKER_REST_RATE_REVIEWS)", wait_s)

    def owe(self, client: str, reviews: int) -> None:
        """Take the further reviews of a request that has begun."""
        if client in self._budgets:
            left, at = self._budgets[client]
            self._budgets[client] = (left - reviews, at)


def is_loopback(host: str) -> bool:
    """Return whether an address is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Hardened:
    """The application inside, with the security headers.

    Without a token and on loopback it answers to this machine's names only: a web site whose own name is pointed at
    127.0.0.1 (DNS rebinding) could otherwise read and delete through its visitor's browser.
    """

    def __init__(self, app: ASGIApp, *, settings: WorkerSettings) -> None:
        self._app = app
        is_unguarded = is_open(settings.rest_token, settings.rest_read_token)
        self._local_only = is_unguarded and is_loopback(settings.rest_host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(pair for pair in _RAW_HEADERS if pair[0] not in there)]
            await send(message)

        if self._local_only and _name(Headers(scope=scope).get("host", "")) not in _LOCAL_NAMES:
            refused = Problem(421, "this address answers to localhost only; WORKER_REST_TOKEN lets other names in")
            await refused.response()(scope, receive, hardened)
            return
        await self._app(scope, receive, hardened)


def _name(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name.lower() if colon and port.isdecimal() else host.lower()
