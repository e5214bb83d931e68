"""The forms that the values of settings take: topics, hosts, names, lists, files, words.

Owns these forms; each of their errors says what the setting takes and never quotes the value, which may be a secret.
`worker.settings` and `worker.kafka_settings` use them.
"""

from __future__ import annotations

import ipaddress
import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal, get_args, get_origin

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

_TOPIC: Final = re.compile(r"(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}")
_LABEL: Final = r"[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,62})"
_HOST_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_TOKEN: Final = re.compile(r"[!-~]{16,512}")
_QUOTES: Final = ("'", '"')
# Control characters, invisible marks such as a byte-order mark, and bytes that are not UTF-8.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})


def tidy(value: object, annotation: object) -> object:
    """Return a value without blanks around it, and a word in the case in which its choices are written.

    Raises:
        ValueError: it has quotation marks around it or characters that nobody can see.
    """
    if not isinstance(value, str):
        return value
    if "SecretStr" in str(annotation):
        if not _is_unicode(value):
            raise ValueError("takes text in UTF-8")
        return value.rstrip("\r\n")  # as `echo` leaves it in a secret
    value = value.strip()
    if value.startswith(_QUOTES) or value.endswith(_QUOTES):
        raise ValueError("takes a value without quotation marks; docker's --env-file keeps those in the file")
    if any(unicodedata.category(character) in _UNSEEN for character in value):
        raise ValueError("takes text in UTF-8 without control characters")
    return {word.casefold(): word for word in _choices(annotation)}.get(value.casefold(), value)


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # bytes of the environment that are not UTF-8
        return False
    return True


def _choices(annotation: object) -> Iterator[str]:
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
        return
    for part in get_args(annotation):
        yield from _choices(part)


def _words(value: object) -> object:
    """Split `a,b`, and read a JSON list."""
    if not isinstance(value, str):
        return value
    if value.startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError('takes a list: a,b or ["a","b"]') from None
    return [word.strip() for word in value.split(",") if word.strip()]


def topic_name(value: str) -> str:
    """Return a topic's name.

    Raises:
        ValueError: it is none.
    """
    if _TOPIC.fullmatch(value) is None:
        raise ValueError("takes names of topics (letters, digits, '.', '_' and '-', at most 249); no pattern")
    return value


def _identity(value: str) -> str:
    if _TOPIC.fullmatch(value) is None:
        raise ValueError("takes letters, digits, '.', '_' and '-', at most 240")
    return value


def _version(value: str) -> str:
    if _TOPIC.fullmatch(value) is None:
        raise ValueError("takes a version such as 20260101T000000Z-70700000; for a channel set WORKER_CHANNEL")
    return value


def _is_host(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return len(value) <= 253 and _HOST_NAME.fullmatch(value) is not None
    return True


def _host(value: str) -> str:
    bare = value.removeprefix("[").removesuffix("]")
    if not _is_host(bare):
        raise ValueError("takes a host name or an IP address, such as 127.0.0.1 or ::")
    return bare


def _is_server(value: str) -> bool:
    host, colon, port = value.rpartition(":")
    if not colon:
        host = value
    known = port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536
    return _is_host(host.removeprefix("[").removesuffix("]")) and (known or not colon)


def _server(value: str) -> str:
    if not _is_server(value):
        raise ValueError("takes host:port of brokers, separated by commas")
    return value


def _endpoint(value: str) -> str:
    scheme, _, server = value.rstrip("/").partition("://")
    if scheme not in {"http", "https"} or not _is_server(server):
        raise ValueError("takes http://host:port, or https for TLS, without a path")
    return value


def _readable(path: Path) -> Path:
    try:
        if path.is_file():
            path.open("rb").close()
            return path
    except (OSError, ValueError):
        pass
    raise ValueError("takes the path of a file that can be read")


def _few(names: list[str]) -> list[str]:
    """Refuse more names than Prometheus should have series of."""
    if len(names) > 50:
        raise ValueError(f"{len(names)} names, over the limit of 50")
    return names


def _token(value: SecretStr) -> SecretStr:
    if _TOKEN.fullmatch(value.get_secret_value()) is None:
        raise ValueError("takes 16 or more visible ASCII characters, without blanks")
    return value


def _origin(value: str) -> str:
    scheme, _, address = value.partition("://")
    if scheme not in {"http", "https"} or address != _server(address):
        raise ValueError("takes origins such as https://shop.example, separated by commas")
    return value


Topic = Annotated[str, AfterValidator(topic_name)]
Topics = Annotated[list[Topic], NoDecode, BeforeValidator(_words), Field(min_length=1)]
Patterns = Annotated[list[Annotated[str, Field(max_length=249)]], NoDecode, BeforeValidator(_words)]
Apps = Annotated[list[Annotated[str, Field(max_length=256)]], NoDecode, BeforeValidator(_words), AfterValidator(_few)]
Servers = Annotated[
    list[Annotated[str, AfterValidator(_server)]], NoDecode, BeforeValidator(_words), Field(min_length=1)
]
Identity = Annotated[str, Field(min_length=1, max_length=240), AfterValidator(_identity)]
Version = Annotated[str, AfterValidator(_version)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
Host = Annotated[str, AfterValidator(_host)]
Token = Annotated[SecretStr, AfterValidator(_token)]
Origins = Annotated[list[Annotated[str, AfterValidator(_origin)]], NoDecode, BeforeValidator(_words)]
ReadableFile = Annotated[Path, AfterValidator(_readable)]
