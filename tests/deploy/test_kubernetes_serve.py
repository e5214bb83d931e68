"""The manifests of `serve`: valid, restricted, and in step with its settings and metrics."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path
from typing import Any

import certifi
import pytest
from prometheus_client import CollectorRegistry

from schemas import __version__
from tests.conftest import missing
from tests.deploy.assets import DOCKERFILE
from tests.deploy.test_compose import known_variables
from tests.deploy.test_kubernetes import CUSTOM, RELEASES, rendered, resource
from worker.ops.rest_metrics import RestMetrics
from worker.settings import read_settings

OVERLAY = "overlays/serve"
APP = {"app.kubernetes.io/name": "starstream-rest"}


def pod() -> dict[str, Any]:
    found: dict[str, Any] = resource(OVERLAY, "Deployment")["spec"]["template"]["spec"]
    return found


def container() -> dict[str, Any]:
    (found,) = pod()["containers"]
    assert isinstance(found, dict)
    return found


def variables() -> dict[str, str]:
    return {**resource(OVERLAY, "ConfigMap")["data"], **{entry["name"]: entry["value"] for entry in container()["env"]}}


@pytest.mark.parametrize("release", RELEASES)
def test_manifests_are_valid_by_the_schemas_of_kubernetes(release: str) -> None:
    if importlib.util.find_spec("kubernetes_validate") is None:
        missing("kubernetes-validate is not installed: pip install kubernetes-validate")
    kubernetes_validate = importlib.import_module("kubernetes_validate")
    kinds = set()
    for manifest in rendered(OVERLAY):
        kinds.add(manifest["kind"])
        if manifest["kind"] not in CUSTOM:
            kubernetes_validate.validate(manifest, release, strict=True)
    assert {"Deployment", "Service", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget"} <= kinds


def test_variables_are_valid_and_a_token_is_asked_for(clean_environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert set(variables()) <= known_variables()
    secrets = {"redis-url": "rediss://redis:6380/0", "kafka-sasl-password": "word"}
    secrets |= {"rest-token": "a-token-of-some-length", "rest-read-token": "another-of-some-length"}
    secrets["kafka-ca.pem"] = Path(certifi.where()).read_text(encoding="utf-8")
    for name, value in secrets.items():
        (tmp_path / name).write_text(f"{value}\n", encoding="utf-8")
    for name, value in variables().items():
        clean_environment.setenv(name, re.sub("^(/run/secrets|/etc)/starstream", str(tmp_path), value))
    settings = read_settings(None)
    assert settings.rest_token is not None
    assert settings.rest_token.get_secret_value() == secrets["rest-token"]
    (port,) = container()["ports"]
    assert (settings.rest_host, settings.rest_port) == ("0.0.0.0", port["containerPort"])  # noqa: S104
    pause_s = float(container()["lifecycle"]["preStop"]["exec"]["command"][-1])
    assert pod()["terminationGracePeriodSeconds"] > settings.drain_deadline_s + pause_s


def test_it_is_restricted_pinned_and_knows_no_secret() -> None:
    assert "Secret" not in {manifest["kind"] for manifest in rendered(OVERLAY)}
    (user,) = set(re.findall(r"^USER (\d+):\d+$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE))
    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert pod()["securityContext"]["runAsUser"] == int(user)
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container()["image"].endswith(f":{__version__}")
    assert container()["args"] == ["serve"]


def test_policies_and_the_service_choose_its_pods_and_no_workers() -> None:
    labels = resource(OVERLAY, "Deployment")["spec"]["template"]["metadata"]["labels"]
    chosen = [
        resource(OVERLAY, "Service")["spec"]["selector"],
        resource(OVERLAY, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        resource(OVERLAY, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        resource(OVERLAY, "ServiceMonitor")["spec"]["selector"]["matchLabels"],
        pod()["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ]
    for selector in chosen:
        assert APP.items() <= selector.items() <= labels.items()


def test_it_is_scaled_by_a_metric_that_it_has() -> None:
    registry = CollectorRegistry()
    RestMetrics(registry)
    spec = resource(OVERLAY, "HorizontalPodAutoscaler")["spec"]
    assert spec["scaleTargetRef"]["name"] == resource(OVERLAY, "Deployment")["metadata"]["name"]
    assert "replicas" not in resource(OVERLAY, "Deployment")["spec"]
    names = [metric["pods"]["metric"]["name"] for metric in spec["metrics"] if metric["type"] == "Pods"]
    assert names == ["starstream_rest_waiting_reviews"]
    assert names[0] in {family.name for family in registry.collect()}
