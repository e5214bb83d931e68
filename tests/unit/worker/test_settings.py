"""The settings: an error names its variable, secrets are masked, and which source wins."""

from __future__ import annotations

import typing
from pathlib import Path

import pytest
from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from tests.fixtures.flags import settings_of
from worker.environment import PREFIX
from worker.errors import ExitCode, SettingsError
from worker.redis_settings import read_redis_url
from worker.settings import WorkerSettings, read_settings

FIELDS = WorkerSettings.model_fields
SECRETS = [name for name, field in FIELDS.items() if "SecretStr" in str(field.annotation)]

pytestmark = pytest.mark.usefixtures("clean_environment")


def variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}"


def outside(field: FieldInfo) -> list[str]:
    """Return values that a field must refuse: just outside its limits, or of the wrong type."""
    wrong: list[str] = []
    for limit in field.metadata:
        match limit:
            case Ge(ge):
                wrong.append(str(typing.cast("float", ge) - 1))
            case Gt(gt):
                wrong.append(str(gt))
            case Le(le):
                wrong.append(str(typing.cast("float", le) + 1))
            case Lt(lt):
                wrong.append(str(lt))
            case MaxLen(length):
                wrong.append("x" * (length + 1))
            case MinLen() | _:
                pass
    if field.annotation in {int, float}:
        wrong.append("many")
    if field.annotation is bool:
        wrong.append("perhaps")
    if typing.get_origin(field.annotation) is typing.Literal:
        wrong.append("nonsense")
    return wrong


WRONG = [(name, value) for name, field in FIELDS.items() for value in outside(field)]


def test_defaults_are_valid() -> None:
    assert read_settings().input_topics == ["reviews"]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=[f"{name}={value[:12]}" for name, value in WRONG])
def test_a_value_outside_its_limits_names_its_variable(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable(name), value)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert f"{variable(name)}: " in str(caught.value)
    assert caught.value.exit_code == ExitCode.USAGE


def test_several_wrong_variables_are_several_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_LINGER_S", "-1")
    monkeypatch.setenv("WORKER_HTTP_PORT", "99999")
    monkeypatch.setenv("WORKER_OUTPUT_TOPIC", "no spaces")
    with pytest.raises(SettingsError) as caught:
        read_settings()
    named = [line.split(":")[0] for line in str(caught.value).splitlines()]
    assert named == ["WORKER_OUTPUT_TOPIC", "WORKER_LINGER_S", "WORKER_HTTP_PORT"]


CROSS: dict[str, tuple[dict[str, str], str]] = {
    "linger over the poll interval": (
        {"LINGER_S": "10", "MAX_POLL_INTERVAL_S": "19", "TRANSACTION_TIMEOUT_S": "1", "REQUEST_TIMEOUT_S": "1",
         "DRAIN_DEADLINE_S": "1", "REDIS_TIMEOUT_S": "0.4"},
        "WORKER_LINGER_S",
    ),
    "drain over the poll interval": ({"DRAIN_DEADLINE_S": "120"}, "WORKER_DRAIN_DEADLINE_S"),
    "Redis over the transaction": ({"REDIS_TIMEOUT_S": "8"}, "WORKER_REDIS_TIMEOUT_S: 8 must be under half of"),
    "transaction over the poll interval": ({"TRANSACTION_TIMEOUT_S": "110"}, "WORKER_TRANSACTION_TIMEOUT_S"),
    "output is input": ({"OUTPUT_TOPIC": "reviews"}, "WORKER_OUTPUT_TOPIC"),
    "dead letters are input": ({"DEAD_LETTER_TOPIC": "reviews"}, "WORKER_DEAD_LETTER_TOPIC"),
    "output is dead letters": ({"OUTPUT_TOPIC": "reviews.dlq"}, "WORKER_DEAD_LETTER_TOPIC"),
    "one of several inputs": ({"INPUT_TOPICS": "a, ratings"}, "WORKER_INPUT_TOPICS"),
    "a database of a cluster": (
        {"REDIS_CLUSTER": "true", "REDIS_URL": "redis://h/1"},
        "WORKER_REDIS_URL: must be redis:// or rediss:// without a database",
    ),
    "Sentinels of a cluster": (
        {"REDIS_CLUSTER": "true", "REDIS_URL": "redis+sentinel://h/main"},
        "WORKER_REDIS_URL: must be redis:// or rediss:// without a database",
    ),
    "SASL without a mechanism": ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "WORKER_KAFKA_SASL_MECHANISM"),
    "SCRAM without a password": (
        {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512", "KAFKA_SASL_USERNAME": "u"},
        "WORKER_KAFKA_SASL_PASSWORD",
    ),
    "OAUTHBEARER without a token": (
        {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "OAUTHBEARER"},
        "WORKER_KAFKA_OAUTH_TOKEN",
    ),
    "certificate without a key": ({"KAFKA_SSL_CERTFILE": __file__}, "WORKER_KAFKA_SSL_KEYFILE"),
    "a certificate that is not there": ({"KAFKA_SSL_CAFILE": "/no/ca.pem"}, "WORKER_KAFKA_SSL_CAFILE"),
    "a shadow channel that is never checked": (
        {"SHADOW_CHANNEL": "candidate", "RELOAD_INTERVAL_S": "0"},
        "WORKER_SHADOW_CHANNEL",
    ),
    "a canary without a shadow channel": ({"CANARY_SHARE": "0.1"}, "WORKER_CANARY_SHARE"),
    "a shadow topic without a shadow channel": ({"SHADOW_TOPIC": "ratings.shadow"}, "WORKER_SHADOW_TOPIC"),
    "shadow ratings on the output topic": (
        {"SHADOW_CHANNEL": "candidate", "SHADOW_TOPIC": "ratings"},
        "WORKER_SHADOW_TOPIC=ratings",
    ),
    "feedback on the input topic": ({"FEEDBACK_TOPIC": "reviews"}, "WORKER_FEEDBACK_TOPIC=reviews"),
    "a canary that never decides": ({"CANARY_MIN_REVIEWS": "3000"}, "WORKER_CANARY_MIN_REVIEWS"),
    "a drift that is never reported": ({"DRIFT_MIN_REVIEWS": "20000"}, "WORKER_DRIFT_MIN_REVIEWS"),
    "no topic": ({"INPUT_TOPICS": ","}, "WORKER_INPUT_TOPICS"),
}  # fmt: skip


@pytest.mark.parametrize("case", CROSS)
def test_settings_that_exclude_each_other_are_refused(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given, named = CROSS[case]
    for name, value in given.items():
        monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError, match=named):
        read_settings()


def test_a_flag_wins_over_the_environment_and_that_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("WORKER_GROUP_ID=file\nWORKER_CHANNEL=file\nWORKER_REGISTRY=file\n")
    monkeypatch.setenv("WORKER_GROUP_ID", "environment")
    monkeypatch.setenv("WORKER_CHANNEL", "environment")
    settings = settings_of("--group-id", "flag")
    assert (settings.group_id, settings.channel, settings.registry) == ("flag", "environment", "file")


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_HTTP_PORT", "")
    assert read_settings().http_port == FIELDS["http_port"].default


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_KAFKA_BOOTSTRAP_SERVERS", "a:1, b:2,")
    assert read_settings().kafka_bootstrap_servers == ["a:1", "b:2"]
    assert settings_of("--input-topics", "x,y").input_topics == ["x", "y"]


def test_the_last_of_a_repeated_flag_wins() -> None:
    """The supervisor appends its children's own flags to the command line it was given."""
    flags = ["--processes", "4", "--slot", "0", "--processes", "1", "--slot", "3"]
    settings = settings_of(*flags)
    assert (settings.processes, settings.slot) == (1, 3)


def test_switches_take_yes_and_no() -> None:
    assert settings_of("--no-redis-summary").redis_summary is False
    assert settings_of("--redis-summary").redis_summary is True


@pytest.mark.parametrize("name", [name for name in SECRETS if name != "kafka_oauth_token"])  # its file is a setting
def test_secrets_are_masked_and_can_come_from_a_file(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    url = f"{'http' if name == 'schema_registry_url' else 'redis'}://:hunter2@localhost"
    path.write_text(f"{url}\n")
    if name == "schema_registry_password":
        monkeypatch.setenv("WORKER_SCHEMA_REGISTRY_USERNAME", "user")
    monkeypatch.setenv(f"{variable(name)}_FILE", str(path))
    settings = read_settings()
    secret = getattr(settings, name)
    assert isinstance(secret, SecretStr)
    assert secret.get_secret_value() == url
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_these_settings_are_secrets() -> None:
    passwords = {"redis_url", "kafka_sasl_password", "kafka_ssl_password"}
    passwords |= {"schema_registry_url", "schema_registry_password"}
    assert passwords | {"kafka_oauth_token", "rest_token", "rest_read_token"} == set(SECRETS)


def test_a_secret_itself_wins_over_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("redis://file")
    monkeypatch.setenv("WORKER_REDIS_URL_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("WORKER_REDIS_URL", "redis://environment")
    assert read_settings().redis_url.get_secret_value() == "redis://environment"


def test_a_secret_file_that_is_missing_names_its_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORKER_REDIS_URL_FILE", str(tmp_path / "none"))
    with pytest.raises(SettingsError, match="WORKER_REDIS_URL_FILE: cannot read "):
        read_settings()


def test_an_error_never_quotes_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_LINGER_S", "hunter2")
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


WRONG_URLS = {
    "localhost:6379": "must be redis://, rediss://, unix://",
    "http://localhost": "must be redis://, rediss://, unix://",
    "redis://:s3cr3t/x@host:6379": "the port is no port number; percent-encode",
    "redis://h:port": "the port is no port number",
    "redis://h:0": "the port is no port number",
    "redis://[h": "is not a URL",
    "redis://h?decode_responses=true": "decode_responses: no such option; it takes db, ",
    "redis://h?foo=bar": "foo: no such option",
    "redis://:1?s3cr3t=@h": "no such option",
    "unix:///run/redis.sock?db=abc": "db: must be a whole number",
    "redis://h/abc": "the database, after the last /, must be a number",
    "redis://h?socket_timeout=soon": "socket_timeout: must be seconds",
    "redis+sentinel://a,b": "name the Sentinels and the service",
    "redis+sentinel://a:26379,b:x/main": "the port is no port number",
    "redis+sentinel://a/main/abc": "the database, after the last /, must be a number",
    "redis://h?sentinel_password=x": "sentinel_password: no such option",
}


@pytest.mark.parametrize("url", WRONG_URLS)
def test_an_invalid_redis_url_is_refused_in_one_line_and_not_shown(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_REDIS_URL", url)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert str(caught.value).startswith(f"WORKER_REDIS_URL: {WRONG_URLS[url]}")
    assert "s3cr3t" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_url_of_sentinels_names_them_the_service_and_the_options() -> None:
    found = read_redis_url("rediss+sentinel://me:p%40ss@a:1,[::1],b/main/2?protocol=3&sentinel_password=s")
    assert found is not None
    assert (found.sentinels, found.service, found.tls) == ((("a", 1), ("::1", 26379), ("b", 26379)), "main", True)
    assert found.options == {"username": "me", "password": "p@ss", "db": "2", "protocol": "3"}
    assert found.sentinel_options == {"password": "s"}
    assert "p@ss" not in repr(found)


def test_settings_are_frozen() -> None:
    settings = read_settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.linger_s = 1.0  # type: ignore[misc]


def test_every_setting_has_a_description_and_its_unit_in_the_standard_spelling() -> None:
    assert [name for name, field in FIELDS.items() if not field.description] == []
    assert [name for name in FIELDS if name.endswith(("_ms", "_seconds", "_sec"))] == []
