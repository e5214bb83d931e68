"""OAuth tokens are fetched again before they expire, wherever they come from."""

from __future__ import annotations

import base64
import json
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

from tests.doubles import ManualClock
from worker.errors import TransientError
from worker.kafka.confluent.client import CallbackErrors
from worker.kafka.confluent.options import client_config as confluent_config
from worker.kafka.python.client import client_config as python_config
from worker.kafka.tokens import Token, Tokens, make_tokens
from worker.settings import WorkerSettings


def jwt(life_s: float, name: str = "ann") -> str:
    claims = json.dumps({"sub": name, "exp": time.time() + life_s}).encode()
    return f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.sig"


def tokens(**more: Any) -> Tokens:
    given = {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "OAUTHBEARER"}
    made = make_tokens(WorkerSettings(_env_file=None, **given | more))
    assert made is not None
    return made


def test_a_token_is_kept_until_most_of_its_life_is_over(clock: ManualClock) -> None:
    fetched = [Token("first", clock.wall() + 100), Token("second", clock.wall() + 200)]
    kept = Tokens(lambda: fetched.pop(0), clock.wall)
    said = []
    for _ in range(4):
        said.append(kept.current().text)
        clock.advance(30)
    assert said == ["first", "first", "first", "second"]


def test_a_renewal_that_fails_is_tried_again_while_the_token_is_still_valid(clock: ManualClock) -> None:
    given: list[Token | None] = [Token("first", clock.wall() + 100), None, None, Token("second", clock.wall() + 300)]

    def fetch() -> Token:
        token = given.pop(0)
        if token is None:
            raise TransientError("kafka", "the endpoint is away")
        return token

    kept = Tokens(fetch, clock.wall)
    assert kept.current().text == "first"
    clock.advance(85)
    assert kept.current().text == "first"
    clock.advance(12)
    with pytest.raises(TransientError, match="away"):
        kept.current()
    assert kept.current().text == "second"


def test_a_file_is_read_again_when_its_token_has_expired(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(jwt(1))
    source = tokens(kafka_oauth_token_file=file)
    with pytest.raises(TransientError, match="has expired"):
        source.current()
    file.write_text(jwt(600))
    assert source.current().text == file.read_text()
    assert source.current().expires_at == pytest.approx(time.time() + 600, abs=60)
    file.unlink()
    assert source.current().text, "it is still valid"


def test_a_file_without_an_expiry_is_read_every_minute(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("opaque\n")
    token = tokens(kafka_oauth_token_file=tmp_path / "token").current()
    assert token.text == "opaque"
    assert token.expires_at <= time.time() + 60


@pytest.mark.parametrize(
    ("printed", "text", "life_s"),
    [
        ("opaque", "opaque", 60),
        ('{"access_token": "opaque", "token_type": "Bearer", "expires_in": 300}', "opaque", 300),
    ],
)
def test_a_command_prints_a_token_or_the_answer_of_an_endpoint(
    printed: str, text: str, life_s: float, tmp_path: Path
) -> None:
    (tmp_path / "login.py").write_text(f"print({printed!r})")
    token = tokens(kafka_oauth_command=f"{sys.executable} {tmp_path / 'login.py'}").current()
    assert token.text == text
    assert token.expires_at == pytest.approx(time.time() + life_s, abs=30)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (f"{sys.executable} /no/such/script", "exit code 2"),
        ("/no/such/program", "No such file"),
        ("echo {}", "takes a token, or JSON with access_token"),
    ],
)
def test_a_command_that_fails_is_named_and_tried_again(command: str, said: str) -> None:
    source = tokens(kafka_oauth_command=command)
    for _ in range(2):
        with pytest.raises(TransientError, match="WORKER_KAFKA_OAUTH_") as caught:
            source.current()
        assert said in str(caught.value)


def test_aws_signs_a_token_with_its_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    token = tokens(kafka_sasl_mechanism="AWS_MSK_IAM", kafka_aws_region="eu-central-1").current()
    signed = urlparse(base64.urlsafe_b64decode(token.text + "=" * (-len(token.text) % 4)).decode())
    assert signed.hostname == "kafka.eu-central-1.amazonaws.com"
    asked = parse_qs(signed.query)
    assert asked["Action"] == ["kafka-cluster:Connect"]
    assert asked["X-Amz-Credential"][0].startswith("AKIATEST/")
    assert token.expires_at == pytest.approx(time.time() + 900, abs=60)


def test_without_aws_credentials_it_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with pytest.raises(TransientError, match="are there AWS credentials"):
        tokens(kafka_sasl_mechanism="AWS_MSK_IAM", kafka_aws_region="eu-central-1").current()


def test_both_clients_ask_for_the_token_at_each_login(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(jwt(600, "before"))
    settings = WorkerSettings(
        _env_file=None,
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="OAUTHBEARER",
        kafka_oauth_token_file=file,
    )
    assert python_config(settings)["sasl_oauth_token_provider"].token() == file.read_text()
    text, expires_at = confluent_config(settings, CallbackErrors())["oauth_cb"]("")
    assert text == file.read_text()
    assert expires_at > time.time()


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({}, "WORKER_KAFKA_OAUTH_COMMAND"),
        ({"kafka_sasl_mechanism": "AWS_MSK_IAM"}, "WORKER_KAFKA_AWS_REGION"),
        (
            {
                "kafka_sasl_mechanism": "AWS_MSK_IAM",
                "kafka_aws_region": "x",
                "kafka_security_protocol": "SASL_PLAINTEXT",
            },
            "WORKER_KAFKA_SECURITY_PROTOCOL",
        ),
    ],
)
def test_what_a_mechanism_needs_is_named(more: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        tokens(**more)
