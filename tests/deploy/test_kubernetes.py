"""The Kubernetes manifests as kustomize renders them: valid, restricted, and in step with the code."""

from __future__ import annotations

import http.client
import importlib
import importlib.util
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import certifi
import pytest
import yaml

from schemas import __version__
from tests import PATIENCE_S
from tests.conftest import missing
from tests.deploy.assets import DOCKERFILE, KUBERNETES, WORKER_JOB, compose
from tests.deploy.test_compose import known_variables
from tests.doubles import ManualClock
from tests.fixtures.go_modules import installed
from worker.ops.health import Health
from worker.ops.http_server import serve_http
from worker.ops.metrics import Metrics
from worker.settings import WorkerSettings, read_settings

OVERLAYS = ("base", "overlays/example")
# The API versions of every release the schemas are checked against.
RELEASES = ("1.31", "1.34", "1.37")
CUSTOM = {"ServiceMonitor", "ScaledObject", "TriggerAuthentication"}
KUSTOMIZE = ("sigs.k8s.io/kustomize/kustomize/v5", "v5.8.1")
each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


@cache
def rendered(overlay: str) -> list[dict[str, Any]]:
    kubectl = shutil.which("kubectl")
    # Without kubectl its library's own program: Debian 12's kubectl is 1.20, which does not know `labels:`.
    render = [kubectl, "kustomize"] if kubectl else [str(installed(*KUSTOMIZE)), "build"]
    done = subprocess.run([*render, str(KUBERNETES / overlay)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "kustomize warns about deprecated fields"
    return list(yaml.safe_load_all(done.stdout))


def resource(overlay: str, kind: str) -> dict[str, Any]:
    (found,) = (manifest for manifest in rendered(overlay) if manifest["kind"] == kind)
    return found


def pod(overlay: str) -> dict[str, Any]:
    found: dict[str, Any] = resource(overlay, "StatefulSet")["spec"]["template"]["spec"]
    return found


def container(overlay: str) -> dict[str, Any]:
    (found,) = pod(overlay)["containers"]
    assert isinstance(found, dict)
    return found


def variables(overlay: str) -> dict[str, str]:
    """Return the container's variables, with `worker-0` as the pod's name."""
    given = dict(resource(overlay, "ConfigMap")["data"])
    for variable in container(overlay)["env"]:
        source = variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
        given[variable["name"]] = "worker-0" if source == "metadata.name" else variable["value"]
    return given


@each_overlay
@pytest.mark.parametrize("release", RELEASES)
def test_manifests_are_valid_by_the_schemas_of_kubernetes(overlay: str, release: str) -> None:
    if importlib.util.find_spec("kubernetes_validate") is None:
        missing("kubernetes-validate is not installed: pip install kubernetes-validate")
    kubernetes_validate = importlib.import_module("kubernetes_validate")
    for manifest in rendered(overlay):
        if manifest["kind"] not in CUSTOM:
            kubernetes_validate.validate(manifest, release, strict=True)


@each_overlay
def test_worker_variables_are_valid(overlay: str, clean_environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert set(variables(overlay)) <= known_variables()
    secrets = {"redis-url": "rediss://worker:word@redis:6380/0", "kafka-sasl-password": "word"}
    secrets["kafka-ca.pem"] = Path(certifi.where()).read_text(encoding="utf-8")
    for name, value in secrets.items():
        (tmp_path / name).write_text(f"{value}\n", encoding="utf-8")
    for name, value in variables(overlay).items():
        clean_environment.setenv(name, re.sub("^(/run/secrets|/etc)/starstream", str(tmp_path), value))
    settings = read_settings(None)
    assert settings.redis_url.get_secret_value() == secrets["redis-url"]
    assert settings.instance_id == "worker-0"
    if overlay != "base":
        assert settings.kafka_sasl_password is not None
        assert settings.kafka_sasl_password.get_secret_value() == "word"
    assert pod(overlay)["terminationGracePeriodSeconds"] > settings.drain_deadline_s + 5.0  # the supervisor's share


@each_overlay
def test_secrets_are_mounted_as_files_from_a_secret_outside_the_repository(overlay: str) -> None:
    assert "Secret" not in {manifest["kind"] for manifest in rendered(overlay)}
    mounts = {mount["name"]: mount for mount in container(overlay)["volumeMounts"]}
    for name, value in variables(overlay).items():
        assert not re.search("PASSWORD|TOKEN|URL", name) or name.endswith("_FILE"), name
        if name.endswith("_FILE"):
            assert value.startswith(f"{mounts['secrets']['mountPath']}/")


@each_overlay
def test_probes_ask_pages_that_the_worker_serves(overlay: str, metrics: Metrics, clock: ManualClock) -> None:
    (port,) = container(overlay)["ports"]
    assert port == {"name": "http", "containerPort": WorkerSettings.model_fields["http_port"].default}
    assert variables(overlay)["WORKER_HTTP_PORT"] == str(port["containerPort"])
    paths = {}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        get = container(overlay)[probe]["httpGet"]
        assert get["port"] == "http"
        paths[probe] = get["path"]
    assert paths == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    served = serve_http("127.0.0.1", 0, metrics.registry, Health(clock, stall_s=1, parts=()))
    page = http.client.HTTPConnection("127.0.0.1", served, timeout=PATIENCE_S)
    for path in [*paths.values(), "/metrics"]:
        page.request("GET", path)
        answer = page.getresponse()
        answer.read()
        assert answer.status == 200, path
    page.close()


@each_overlay
def test_every_pod_is_restricted(overlay: str) -> None:
    pods = [pod(overlay)]
    pods += [
        manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        for manifest in rendered(overlay)
        if manifest["kind"] == "CronJob"
    ]
    (user,) = set(re.findall(r"^USER (\d+):\d+$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE))
    for spec in pods:
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == int(user)
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        for container_ in [*spec.get("initContainers", []), *spec["containers"]]:
            assert container_["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"cpu", "memory", "ephemeral-storage"} <= set(container_["resources"]["requests"])
            assert {"memory", "ephemeral-storage"} <= set(container_["resources"]["limits"])
        for volume in spec["volumes"]:
            assert "emptyDir" not in volume or volume["emptyDir"].get("sizeLimit"), volume["name"]
            assert "/tmp" in {mount["mountPath"] for mount in container_["volumeMounts"]}  # noqa: S108 - the bundle's copy


def test_cron_jobs_that_could_not_start_in_time_wait_for_the_next_night() -> None:
    jobs = [manifest["spec"] for manifest in rendered("overlays/example") if manifest["kind"] == "CronJob"]
    assert [job["startingDeadlineSeconds"] for job in jobs] == [3600, 3600]


def test_kafkas_authority_is_mounted_where_the_worker_reads_it_and_given_to_keda() -> None:
    path = Path(variables("overlays/example")["WORKER_KAFKA_SSL_CAFILE"])
    (mount,) = (mount for mount in container("overlays/example")["volumeMounts"] if mount["name"] == "kafka-ca")
    (volume,) = (volume for volume in pod("overlays/example")["volumes"] if volume["name"] == "kafka-ca")
    assert mount["mountPath"] == str(path.parent)
    (ca,) = resource("overlays/example", "TriggerAuthentication")["spec"]["configMapTargetRef"]
    assert (ca["name"], ca["key"]) == (volume["configMap"]["name"], path.name)


def test_network_policies_choose_the_pods_and_let_them_reach_their_services() -> None:
    policies = {
        manifest["metadata"]["name"]: manifest["spec"]
        for manifest in rendered("overlays/example")
        if manifest["kind"] == "NetworkPolicy"
    }
    templates = [("starstream-worker", resource("overlays/example", "StatefulSet")["spec"]["template"])]
    templates += [
        ("starstream-trainer", manifest["spec"]["jobTemplate"]["spec"]["template"])
        for manifest in rendered("overlays/example")
        if manifest["kind"] == "CronJob"
    ]
    assert set(policies) == {name for name, _ in templates}
    for name, template in templates:
        assert policies[name]["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    worker = policies["starstream-worker"]
    assert [port["port"] for rule in worker["ingress"] for port in rule["ports"]] == ["http"]
    out = {port["port"] for rule in worker["egress"] for port in rule["ports"]}
    servers = variables("overlays/example")["WORKER_KAFKA_BOOTSTRAP_SERVERS"].split(",")
    kafka = {int(server.rpartition(":")[2]) for server in servers}
    assert kafka | {53, 6380, 443} <= out


@each_overlay
def test_images_are_pinned_to_the_projects_version(overlay: str) -> None:
    images = re.findall(r"'image': '([^']+)'", str(rendered(overlay)))
    assert images
    assert all(image.endswith(f":{__version__}") for image in images)


@each_overlay
def test_workers_mount_the_models_read_only(overlay: str) -> None:
    mounts = {mount["name"]: mount for mount in container(overlay)["volumeMounts"]}
    assert mounts["models"] == {
        "name": "models",
        "mountPath": variables(overlay)["WORKER_REGISTRY"],
        "readOnly": True,
    }
    claim = resource(overlay, "PersistentVolumeClaim")
    (volume,) = (volume for volume in pod(overlay)["volumes"] if volume["name"] == "models")
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


@each_overlay
def test_service_is_headless_and_includes_workers_that_are_not_ready(overlay: str) -> None:
    service = resource(overlay, "Service")
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    stateful = resource(overlay, "StatefulSet")
    assert stateful["spec"]["serviceName"] == service["metadata"]["name"]
    labels = stateful["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert resource(overlay, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].items() <= labels.items()
    for spread in pod(overlay)["topologySpreadConstraints"]:
        assert spread["labelSelector"]["matchLabels"].items() <= labels.items()


def test_workers_are_scraped_once_under_the_job_the_alerts_expect() -> None:
    metadata = [resource(overlay, "StatefulSet")["spec"]["template"]["metadata"] for overlay in OVERLAYS]
    assert [pods["annotations"]["prometheus.io/scrape"] for pods in metadata] == ["true", "false"]
    monitor = resource("overlays/example", "ServiceMonitor")["spec"]
    service = resource("overlays/example", "Service")
    assert service["metadata"]["labels"][monitor["jobLabel"]] == WORKER_JOB
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}


def test_scaling_follows_the_lag_of_the_group_up_to_its_partitions() -> None:
    scaled = resource("overlays/example", "ScaledObject")["spec"]
    stateful = resource("overlays/example", "StatefulSet")
    assert "replicas" not in stateful["spec"], "KEDA sets the number"
    assert scaled["scaleTargetRef"]["name"] == stateful["metadata"]["name"]
    given = variables("overlays/example")
    (trigger,) = scaled["triggers"]
    assert trigger["metadata"]["consumerGroup"] == given["WORKER_GROUP_ID"]
    assert trigger["metadata"]["topic"] == given["WORKER_INPUT_TOPICS"]
    assert trigger["metadata"]["bootstrapServers"] == given["WORKER_KAFKA_BOOTSTRAP_SERVERS"]
    partitions = int(str(re.search(r"create reviews (\d+)", compose()["services"]["topics"]["command"][0])[1]))  # type: ignore[index]
    assert scaled["maxReplicaCount"] * int(given["WORKER_PROCESSES"]) <= partitions
