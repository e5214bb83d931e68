"""OAuth tokens, fetched again before they expire: from a setting, a file, a command, or AWS's signer.

Owns where a token comes from and how long it is used. The clients ask for one at each login, and again when the brokers
want a session renewed (KIP-368), each from a thread of its own. Never logs a token.
"""

from __future__ import annotations

import base64
import binascii
import json
import shlex
import subprocess
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from worker.errors import SettingsError, TransientError
from worker.settings import WorkerSettings

_UNKNOWN_LIFE_S: Final = 60.0  # of a token that does not say how long it is valid: ask for it again soon
_USED_SHARE: Final = 0.8  # of its time to live, as librdkafka does: the rest is for trying again
_LEAST_LIFE_S: Final = 5.0


class Token(NamedTuple):
    """A token; `expires_at` is wall-clock seconds since the epoch."""

    text: str
    expires_at: float


class Tokens:
    """Keeps a token until most of its time to live is over. Thread-safe.

    Args:
        fetch: gets a new one, and may block.
        wall: the time of day.
    """

    def __init__(self, fetch: Callable[[], Token], wall: Callable[[], float] = time.time) -> None:
        self._fetch = fetch
        self._wall = wall
        self._lock = threading.Lock()
        self._token = Token("", 0.0)
        self._until = 0.0

    def current(self) -> Token:
        """Return a token that is valid.

        Raises:
            TransientError: there is none; the client tries again.
        """
        with self._lock:
            now = self._wall()
            if now >= self._until:
                try:
                    self._renew(now)
                except TransientError:
                    if self._token.expires_at - now < _LEAST_LIFE_S:
                        raise
            return self._token

    def _renew(self, now: float) -> None:
        token = self._fetch()
        if token.expires_at - now < _LEAST_LIFE_S:
            raise TransientError("kafka", "the OAuth token has expired; renew what WORKER_KAFKA_OAUTH_* names")
        self._token = token
        self._until = now + (token.expires_at - now) * _USED_SHARE


def make_tokens(settings: WorkerSettings) -> Tokens | None:
    """Return where the clients get their tokens; None when they log in otherwise.

    Raises:
        SettingsError: the package for AWS is not installed.
    """
    if settings.kafka_sasl_mechanism == "AWS_MSK_IAM":
        if find_spec("aws_msk_iam_sasl_signer") is None:
            raise SettingsError(
                "WORKER_KAFKA_SASL_MECHANISM=AWS_MSK_IAM: the package aws-msk-iam-sasl-signer-python is not installed; "
                "install it, or the extra `msk`"
            )
        return Tokens(lambda: _from_aws(settings.kafka_aws_region or ""))
    if settings.kafka_sasl_mechanism != "OAUTHBEARER":
        return None
    command, file, token = settings.kafka_oauth_command, settings.kafka_oauth_token_file, settings.kafka_oauth_token
    if command is not None:
        return Tokens(lambda: _from_command(command, settings.request_timeout_s))
    if file is not None:
        return Tokens(lambda: _from_file(file))
    return None if token is None else Tokens(lambda: _parsed(token.get_secret_value()))


def _from_file(path: Path) -> Token:
    try:
        return _parsed(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise TransientError("kafka", f"WORKER_KAFKA_OAUTH_TOKEN_FILE={path}: {error}") from error


def _from_command(command: str, timeout_s: float) -> Token:
    doing = f"WORKER_KAFKA_OAUTH_COMMAND={command}"
    try:
        done = subprocess.run(
            shlex.split(command), capture_output=True, text=True, encoding="utf-8", timeout=timeout_s, check=True
        )
    except subprocess.CalledProcessError as error:
        raise TransientError("kafka", f"{doing}: exit code {error.returncode}: {error.stderr.strip()[:300]}") from error
    except (OSError, UnicodeDecodeError, subprocess.TimeoutExpired) as error:
        raise TransientError("kafka", f"{doing}: {error}") from error
    return _parsed(done.stdout)


def _from_aws(region: str) -> Token:
    from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
    from botocore.exceptions import BotoCoreError

    try:
        text, expires_at_ms = MSKAuthTokenProvider.generate_auth_token(region)
    except (BotoCoreError, ValueError, AttributeError) as error:  # the last: there are no credentials at all
        raise TransientError(
            "kafka", f"WORKER_KAFKA_SASL_MECHANISM=AWS_MSK_IAM: are there AWS credentials? {str(error)[:300]}"
        ) from error
    return Token(text, expires_at_ms / 1000)


def _parsed(answer: str) -> Token:
    """Read a bare token, or an answer of a token endpoint (RFC 6749, 5.1: `access_token`, `expires_in`)."""
    text, now = answer.strip(), time.time()
    if not text.startswith("{"):
        return Token(text, _claimed_end(text) or now + _UNKNOWN_LIFE_S)
    try:
        fields = json.loads(text)
        text = str(fields["access_token"])
        ends_at = now + float(fields["expires_in"]) if "expires_in" in fields else _claimed_end(text)
    except (ValueError, KeyError, TypeError) as error:
        raise TransientError("kafka", "WORKER_KAFKA_OAUTH_*: takes a token, or JSON with access_token") from error
    return Token(text, ends_at or now + _UNKNOWN_LIFE_S)


def _claimed_end(token: str) -> float | None:
    """Return when a JWT says that it expires (RFC 7519, 4.1.4); None when it does not say, or is no JWT."""
    parts = token.split(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (IndexError, binascii.Error, ValueError, KeyError, TypeError):
        return None
