"""Whatever is set: the worker takes it, or names the variable in one line and ends with exit code 2. No traceback."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fixtures.flags import settings_of
from worker.environment import DOTENV, PREFIX
from worker.errors import RegistryError, SettingsError
from worker.model.registry import read_channels
from worker.settings import WorkerSettings, read_settings, warnings_about

FIELDS = WorkerSettings.model_fields
ODD = [
    " ", "\t", "'x'", '"x"', "a b", "a,b", ",", "^a.*", "[", "[]", '["a","b"]', "{}", "null", "nan", "inf", "1e999",
    "9" * 5000, "-1", "0x10", "..", "../..", "/", "/nowhere", "x" * 5000, "/x" * 3000, "::", "[::1]:1", "a:b",
    "h:99999", "s3://", "s3://[", "nope://x", "zip://x", "github://", "a::b", "memory://", "redis://[", "unix://",
    "\ufeffx", "%(x)s", "30\u017f", "1\u212ab",
]  # fmt: skip
VAIN = (
    "WORKER_KAFKA_SASL_USERNAME: not used with WORKER_KAFKA_SECURITY_PROTOCOL=PLAINTEXT; "
    "it takes SASL_SSL or SASL_PLAINTEXT"
)
# What an environment can hold: any bytes but zero, those that are not UTF-8 as lone surrogates.
values = st.sampled_from(ODD) | st.binary(max_size=40).map(lambda some: os.fsdecode(some.replace(b"\0", b"")))

pytestmark = pytest.mark.usefixtures("clean_environment")


def outcome(*flags: str) -> tuple[WorkerSettings | None, str]:
    """Return the settings, or the line that refuses them."""
    try:
        return settings_of(*flags), ""
    except SettingsError as error:
        return None, str(error)


@given(name=st.sampled_from(sorted(FIELDS)), value=values)
def test_a_hostile_variable_is_taken_or_named(name: str, value: str) -> None:
    variable = f"{PREFIX}{name.upper()}"
    os.environ[variable] = value
    try:
        settings, line = outcome()
    finally:
        del os.environ[variable]
    assert settings is not None or (variable in line and len(line.splitlines()) == 1), line


@given(name=st.sampled_from(sorted(FIELDS)), value=values)
def test_a_hostile_flag_is_taken_or_named(name: str, value: str) -> None:
    flag = f"--{name.replace('_', '-')}"
    if FIELDS[name].annotation is bool:
        with pytest.raises(click.BadOptionUsage, match=flag):  # a switch takes no value
            settings_of(f"{flag}={value}")
        return
    settings, line = outcome(f"{flag}={value}")
    assert settings is not None or f"{PREFIX}{name.upper()}" in line or flag in line, line


@given(name=st.sampled_from(sorted(FIELDS)), content=st.binary(max_size=60) | values.map(os.fsencode))
def test_a_hostile_line_of_dotenv_is_taken_or_named(name: str, content: bytes) -> None:
    Path(DOTENV).write_bytes(f"{PREFIX}{name.upper()}=".encode() + content)
    settings, line = outcome()
    assert settings is not None or line.startswith((DOTENV, PREFIX)), line


@given(location=values)
def test_a_registry_that_is_none_ends_with_three(location: str) -> None:
    os.environ["WORKER_REGISTRY"] = location
    try:
        settings, _ = outcome()
    finally:
        del os.environ["WORKER_REGISTRY"]
    if settings is not None:
        with pytest.raises(RegistryError, match="WORKER_REGISTRY=") as caught:
            read_channels(settings.registry)
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("WORKER_GROUP_ID=grün\n".encode("utf-16"), ".env: line 1 is not text in UTF-8"),
        ("WORKER_GROUP_ID=gruen\n".encode("utf-16-le"), ".env: not text in UTF-8"),
        ("WORKER_HTTP_PORT=1\nWORKER_GROUP_ID=grün\n".encode("cp1252"), ".env: line 2 is not text in UTF-8"),
    ],
)
def test_a_dotenv_that_is_not_utf_8_is_named(content: bytes, said: str) -> None:
    Path(DOTENV).write_bytes(content)
    assert outcome()[1].startswith(said)


def test_a_dotenv_with_a_byte_order_mark_is_read() -> None:
    Path(DOTENV).write_bytes("WORKER_GROUP_ID=grün\n".encode("utf-8-sig"))
    assert read_settings().group_id == "grün"


def test_a_secret_file_can_be_named_in_dotenv() -> None:
    Path("secret").write_text("redis://file\n")
    Path(DOTENV).write_text("WORKER_REDIS_URL_FILE=secret\n")
    assert read_settings().redis_url.get_secret_value() == "redis://file"


def test_lists_may_be_json_and_a_pattern_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(DOTENV).write_text('WORKER_INPUT_TOPICS=["a","b"]\n')
    assert read_settings().input_topics == ["a", "b"]
    monkeypatch.setenv("WORKER_INPUT_TOPICS", "^reviews-.*")
    assert outcome()[1] == (
        "WORKER_INPUT_TOPICS: takes names of topics (letters, digits, '.', '_' and '-', at most 249); no pattern"
    )


def test_words_are_taken_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"LOG_LEVEL": "INFO", "KAFKA_SECURITY_PROTOCOL": "ssl", "DELIVERY": " Exactly_Once\r", "LOG_FORMAT": "Json"}
    for name, value in given.items():
        monkeypatch.setenv(PREFIX + name, value)
    found = settings_of("--runtime", "AUTO")
    assert (found.log_level, found.kafka_security_protocol, found.delivery) == ("info", "SSL", "exactly_once")
    assert (found.log_format, found.runtime) == ("json", "auto")


def test_a_file_that_is_no_certificate_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_KAFKA_SSL_CAFILE", __file__)
    assert outcome()[1] == "WORKER_KAFKA_SSL_CAFILE: takes a PEM file of certificates"
    monkeypatch.delenv("WORKER_KAFKA_SSL_CAFILE")
    for name in ("CERTFILE", "KEYFILE"):
        monkeypatch.setenv(f"WORKER_KAFKA_SSL_{name}", __file__)
    assert outcome()[1].startswith("WORKER_KAFKA_SSL_CERTFILE and WORKER_KAFKA_SSL_KEYFILE: take PEM files")


@pytest.mark.parametrize(
    "line", ['WORKER_GROUP_ID="open', "export worker_group_id='open", "WORKER_GROUP_ID", "WORKER_GROUP_ID:a"]
)
def test_a_broken_line_of_ours_is_refused_because_the_default_would_be_used(line: str) -> None:
    Path(DOTENV).write_text(f"A=1\n{line}\nB=2\n")
    with pytest.raises(
        SettingsError, match=r"\.env: line 2: (?i:WORKER_GROUP_ID): not NAME=value; close its quotation"
    ):
        warnings_about(read_settings())


def test_what_is_set_in_vain_is_a_warning_with_the_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_GROUPID", "x")
    monkeypatch.setenv("WORKER_INPUT_TOPIC_FILE", "x")
    monkeypatch.setenv("WORKER_PORT_9464_TCP", "tcp://10.0.0.1:9464")  # Kubernetes', of a service called worker
    monkeypatch.setenv("WORKER_KAFKA_SASL_USERNAME", "u")
    Path(DOTENV).write_text(
        "WORKR_LINGER_S=1\nREDIS_URL=redis://x\nGRAFANA_PORT=3000\nWORKER_GROUP_ID=a\nno such line\n"
    )
    assert warnings_about(read_settings()) == [
        "WORKER_GROUPID: no such setting; the nearest is WORKER_GROUP_ID",
        "WORKER_INPUT_TOPIC_FILE: no such setting; the nearest is WORKER_INPUT_TOPICS",
        "WORKR_LINGER_S in .env: no such setting; the nearest is WORKER_LINGER_S",
        "REDIS_URL in .env: no such setting; the nearest is WORKER_REDIS_URL",
        ".env: line 5 is not NAME=value",
        VAIN,
    ]
