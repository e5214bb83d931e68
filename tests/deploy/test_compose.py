"""docker-compose.yml: valid, hardened, and in step with the code it starts. No Docker engine is needed."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from typing import Any

import pytest

from deploy.kafka.jars import kafka_version
from schemas import __version__
from tests import PATIENCE_S
from tests.conftest import missing
from tests.deploy.assets import COMPOSE, ROOT, compose, seconds
from worker.environment import PREFIX
from worker.settings import WorkerSettings, read_settings

SERVICES: dict[str, dict[str, Any]] = compose()["services"]
OURS = ("worker", "trainer")
each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES.keys())


def known_variables() -> set[str]:
    """Return the variables the worker reads, from its settings."""
    fields = WorkerSettings.model_fields.items()
    plain = {f"{PREFIX}{name.upper()}" for name, _ in fields}
    return plain | {f"{PREFIX}{name.upper()}_FILE" for name, field in fields if "SecretStr" in str(field.annotation)}


def worker_variables(service: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in service["environment"].items() if name.startswith(PREFIX)}


def test_compose_is_valid_by_the_compose_specification() -> None:
    if importlib.util.find_spec("check_jsonschema") is None:
        missing("check-jsonschema is not installed: pip install check-jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_worker_variables_exist_and_are_valid(clean_environment: pytest.MonkeyPatch) -> None:
    worker = SERVICES["worker"]
    variables = worker_variables(worker)
    assert set(variables) <= known_variables()
    for name, value in variables.items():
        clean_environment.setenv(name, value)
    settings = read_settings(None)
    assert settings.kafka_bootstrap_servers == ["kafka:9092"]
    assert settings.redis_url.get_secret_value().startswith("redis://redis:6379/")
    assert settings.registry == "/models"
    supervisor_s = 5.0  # what worker.run.supervisor adds for its children
    assert seconds(worker["stop_grace_period"]) > settings.drain_deadline_s + supervisor_s
    port = WorkerSettings.model_fields["http_port"].default
    assert settings.http_port == port, "the port that is scraped"
    assert worker["ports"] == [f"127.0.0.1::{port}"], "a free host port for each container"


def test_compose_worker_waits_for_topics_and_redis_and_can_be_scaled() -> None:
    worker = SERVICES["worker"]
    assert worker["depends_on"]["topics"] == {"condition": "service_completed_successfully"}
    assert worker["depends_on"]["redis"] == {"condition": "service_healthy"}
    assert "container_name" not in worker
    assert "hostname" not in worker


def test_compose_models_are_written_by_the_trainer_and_only_read_by_the_worker() -> None:
    assert "models:/models:ro" in SERVICES["worker"]["volumes"]
    assert "models:/models" in SERVICES["trainer"]["volumes"]
    assert SERVICES["trainer"]["profiles"] == ["trainer"]
    assert SERVICES["trainer"]["restart"] == "no"
    assert SERVICES["worker"]["restart"] == "unless-stopped"


def test_compose_rest_is_the_workers_image_on_loopback_with_its_probe(clean_environment: pytest.MonkeyPatch) -> None:
    rest = SERVICES["rest"]
    assert (rest["image"], rest["profiles"], rest["command"]) == (SERVICES["worker"]["image"], ["rest"], ["serve"])
    variables = worker_variables(rest)
    for name, value in variables.items():
        clean_environment.setenv(name, value)
    settings = read_settings(None)
    assert settings.rest_port == settings.http_port == 8080, "the health check asks the port of WORKER_HTTP_PORT"
    assert rest["ports"] == ["127.0.0.1:8080:8080"]
    assert rest["healthcheck"] == SERVICES["worker"]["healthcheck"]
    assert seconds(rest["stop_grace_period"]) > settings.drain_deadline_s
    assert "models:/models:ro" in rest["volumes"]


@each_service
def test_compose_image_is_pinned(service: dict[str, Any]) -> None:
    assert re.fullmatch(r"[a-z0-9./-]+:v?\d+\.\d+\.\d+(-alpine)?(@sha256:[0-9a-f]{64})?", service["image"]), service[
        "image"
    ]


def test_compose_images_have_the_versions_of_the_code() -> None:
    assert SERVICES["kafka"]["image"] == SERVICES["topics"]["image"]
    assert SERVICES["kafka"]["image"].partition("@")[0] == f"apache/kafka:{kafka_version()}"
    for name in OURS:
        assert SERVICES[name]["image"] == f"starstream-{name}:{__version__}"
        assert SERVICES[name]["build"] == {"context": ".", "dockerfile": "deploy/docker/Dockerfile", "target": name}


@each_service
def test_compose_service_is_unprivileged_bounded_and_on_loopback(service: dict[str, Any]) -> None:
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    user = str(service.get("user", ""))
    assert user.split(":", maxsplit=1)[0] not in {"root", "0"}
    assert user or "build" in service, "our images set USER; compose must set it for others"
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert service["logging"]["options"]["max-size"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize("name", ["worker", "rest", "trainer", "redis", "prometheus"])
def test_compose_root_file_system_is_read_only(name: str) -> None:
    assert SERVICES[name]["read_only"] is True


@pytest.mark.parametrize("name", ["kafka", "redis", "worker", "rest", "prometheus", "grafana"])
def test_compose_service_that_stays_has_a_health_check(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert seconds(check["timeout"]) < seconds(check["interval"])


def test_compose_ports_and_address_can_be_changed() -> None:
    changed = compose(STARSTREAM_BIND="10.0.0.1", STARSTREAM_GRAFANA_PORT="8080", STARSTREAM_KAFKA_PORT="19999")
    assert changed["services"]["grafana"]["ports"] == ["10.0.0.1:8080:3000"]
    assert changed["services"]["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].endswith("localhost:19999")


def test_compose_kafka_is_advertised_under_the_name_that_clients_reach() -> None:
    """A client is given the advertised name whatever address it asked first; `localhost` would be its own machine."""
    changed = compose(STARSTREAM_BIND="0.0.0.0", STARSTREAM_KAFKA_HOST="kafka.lan", STARSTREAM_KAFKA_PORT="19999")  # noqa: S104
    advertised = changed["services"]["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert advertised == "INTERNAL://kafka:9092,HOST://kafka.lan:19999"


def test_compose_mounts_only_files_that_exist_and_volumes_that_are_named() -> None:
    named = set(compose()["volumes"])
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (ROOT / source).exists(), volume
                assert volume.endswith(":ro"), volume
            else:
                assert source in named, volume


def test_compose_grafana_has_no_account_to_guess() -> None:
    environment = SERVICES["grafana"]["environment"]
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false"


def test_deployment_files_hold_no_secret() -> None:
    """No password in a URL, no private key, and no variable named after a secret unless it names a file."""
    files = [
        COMPOSE,
        *(path for path in (ROOT / "deploy").rglob("*") if path.is_file() and path.suffix not in {".pyc", ".png"}),
    ]
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"://[^/\s:@{}]+:[^/\s@{}]+@", text), path
        assert "PRIVATE KEY" not in text, path
        assert "kind: Secret\n" not in text, path
        given = re.findall(r"^\s*-?\s*(?:name: )?([A-Z_]*(?:PASSWORD|SECRET|TOKEN)[A-Z_]*)\s*[:=]", text, re.MULTILINE)
        assert [name for name in given if not name.endswith("_FILE")] == [], path
