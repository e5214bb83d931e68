"""The settings of Redis: where it is, its keys, time-outs, and what a write waits for.

Owns their names, and the syntax of `WORKER_REDIS_URL`. `worker.settings` inherits them;
`worker.redis.client` connects.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

from schemas.command_line.units import Seconds, WholeSeconds

_SCHEMES: Final = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
_SENTINEL_PORT: Final = 26379
_YES_OR_NO: Final = frozenset({"true", "false", "yes", "no", "1", "0"})
# What each option of a URL takes; the client would ignore a wrong database and fail with a traceback on the others.
_OPTIONS: Final[Mapping[str, tuple[Callable[[str], object], str]]] = {
    **dict.fromkeys(("db", "max_connections", "health_check_interval"), (str.isdecimal, "a whole number")),
    **dict.fromkeys(("socket_timeout", "socket_connect_timeout"), (re.compile(r"\d+(\.\d+)?").fullmatch, "seconds")),
    **dict.fromkeys(("socket_keepalive", "ssl_check_hostname"), (lambda text: text.lower() in _YES_OR_NO, "yes or no")),
    "protocol": (frozenset({"2", "3"}).__contains__, "2 or 3"),
    "ssl_cert_reqs": (frozenset({"none", "optional", "required"}).__contains__, "none, optional or required"),
    **dict.fromkeys(
        ("username", "password", "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password"),
        (bool, "a value"),
    ),
}
_SENTINEL_OPTIONS: Final = ("sentinel_username", "sentinel_password")


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """A primary that Sentinels name: `redis+sentinel://[user:password@]host:port,host:port/service/db?option=value`.

    User and password are those of Redis; the Sentinels' own are `sentinel_username` and `sentinel_password`.

    Attributes:
        sentinels: host and port of each.
        service: the name that they know the primary by.
        options: of the connections to Redis, as redis-py names them; `db` is a number in text.
        sentinel_options: of the connections to the Sentinels.
        tls: whether both use it (`rediss+sentinel`).
    """

    sentinels: tuple[tuple[str, int], ...]
    service: str
    options: Mapping[str, str] = field(repr=False)
    sentinel_options: Mapping[str, str] = field(repr=False)
    tls: bool


def read_redis_url(url: str) -> SentinelAddress | None:
    """Check a URL; return what it says of Sentinels, None when it names the server itself.

    Raises:
        ValueError: it is not such a URL; the message shows no part of it that could be a password.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # its text may quote the password
        raise ValueError("is not a URL; percent-encode a password's special characters") from None
    if parts.scheme not in _SCHEMES:
        raise ValueError("must be redis://, rediss://, unix://, redis+sentinel:// or rediss+sentinel://")
    with_sentinels = parts.scheme.endswith("+sentinel")
    options = _options(parts.query, (*_OPTIONS, *_SENTINEL_OPTIONS) if with_sentinels else tuple(_OPTIONS))
    if parts.scheme == "unix":
        return None
    user, _, hosts = parts.netloc.rpartition("@")
    try:
        addresses = tuple(_address(host) for host in (hosts.split(",") if with_sentinels else [hosts]))
    except ValueError:
        raise ValueError("the port is no port number; percent-encode a password's special characters") from None
    service, _, database = parts.path.strip("/").partition("/") if with_sentinels else ("", "", parts.path.strip("/"))
    if database and not database.isdecimal():
        raise ValueError("the database, after the last /, must be a number")
    if not with_sentinels:
        return None
    if not service or not all(host for host, _ in addresses):
        raise ValueError("name the Sentinels and the service: redis+sentinel://host:26379,host:26379/service/0")
    username, _, password = user.partition(":")
    given = {"username": unquote(username), "password": unquote(password), "db": database}
    own = {name.removeprefix("sentinel_"): options.pop(name) for name in _SENTINEL_OPTIONS if name in options}
    options = {name: value for name, value in given.items() if value} | options
    return SentinelAddress(addresses, unquote(service), options, own, parts.scheme.startswith("rediss"))


def _address(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if parts.port == 0:
        raise ValueError("no port")
    return parts.hostname or "", parts.port or _SENTINEL_PORT


def _options(query: str, known: tuple[str, ...]) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name, value in options.items():
        if name not in known:
            # What stands behind a `?` may be the rest of a password.
            shown = f"{name}: " if re.fullmatch("[a-z_]{1,40}", name) else ""
            raise ValueError(f"{shown}no such option; it takes {', '.join(known)}")
        holds, takes = _OPTIONS.get(name, (bool, "a value"))
        if not holds(value):
            raise ValueError(f"{name}: must be {takes}")
    return options


class RedisSettings(BaseSettings, defer_build=True):
    """Everything an operator can set about Redis. Durations are seconds."""

    redis_url: SecretStr = Field(
        SecretStr("redis://localhost:6379/0"),
        description="redis://, rediss:// (TLS), unix:// or redis+sentinel://host:port,host:port/service/db, with "
        "user:password@ for ACL; or ..._FILE",
    )
    redis_cluster: bool = Field(False, description="the URL names a node of a Redis Cluster")
    redis_prefix: str = Field("", max_length=64, description="prefix of every key")
    redis_ttl_s: WholeSeconds = Field(
        30 * 24 * 3600, ge=0, le=100 * 366 * 86_400, description="how long a rating is kept; 0: indefinitely"
    )
    redis_timeout_s: Seconds = Field(5.0, gt=0, le=60, description="longest wait for Redis to answer")
    redis_wait_replicas: int = Field(
        0,
        ge=0,
        le=10,
        description="replicas that must have a batch before its commit, so that a failover keeps it",
    )
    redis_form: int = Field(
        1,
        ge=1,
        le=2,
        description="form of a rating's hash: 2 takes less of Redis's time and memory; first every worker must run a "
        "release that reads it",
    )
    redis_summary: bool = Field(True, description="keep count and sum of stars per app")
    trend_ttl_s: WholeSeconds = Field(
        90 * 24 * 3600,
        ge=0,
        le=10 * 366 * 86_400,
        description="how long an app's stars are kept by hour and version, with WORKER_REDIS_FORM=2; 0: not at all",
    )

    @property
    def keeps_trends(self) -> bool:
        """Whether stars are counted by hour and version: a worker of form 1 cannot say in which hour it did."""
        return self.redis_form == 2 and self.redis_summary and self.trend_ttl_s > 0

    @property
    def why_no_trends(self) -> str:
        """Return which setting switches them off."""
        if self.redis_form == 1:
            return "WORKER_REDIS_FORM is 1"
        return "WORKER_REDIS_SUMMARY is false" if not self.redis_summary else "WORKER_TREND_TTL_S is 0"

    @field_validator("redis_url")
    @classmethod
    def _is_redis_url(cls, url: SecretStr) -> SecretStr:
        read_redis_url(url.get_secret_value())
        return url

    @model_validator(mode="after")
    def _redis_agrees(self) -> Self:
        url = self.redis_url.get_secret_value()
        if self.redis_cluster and not re.fullmatch(r"rediss?://[^/?]*/?0?(\?(?!.*\bdb=[^0]).*)?", url):
            raise ValueError(
                "WORKER_REDIS_URL: must be redis:// or rediss:// without a database with WORKER_REDIS_CLUSTER=true"
            )
        return self
