"""The manifests that need an operator, by its custom resource definitions, which its Go module carries."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import pytest
import yaml

from tests.deploy.assets import APP_RULES, RULES
from tests.deploy.test_kubernetes import CUSTOM, rendered
from tests.fixtures.go_modules import module_folder

OVERLAYS: Final = ("base", "overlays/example", "overlays/serve")
# API group -> module, version, the folder of its definitions.
OPERATORS: Final = {
    "monitoring.coreos.com": (
        "github.com/prometheus-operator/prometheus-operator", "v0.85.0", "example/prometheus-operator-crd",
    ),
    "keda.sh": ("github.com/kedacore/keda/v2", "v2.21.0", "config/crd/bases"),
}  # fmt: skip
Schema = dict[str, Any]


@cache
def definition(group: str, version: str, kind: str) -> Schema:
    """Return the schema of a version of a kind."""
    module, release, folder = OPERATORS[group]
    path = module_folder(module, release) / folder / f"{group}_{kind.lower()}s.yaml"
    spec = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]
    (schema,) = (served["schema"] for served in spec["versions"] if served["name"] == version and served["served"])
    return strict(schema["openAPIV3Schema"])


def strict(schema: Schema) -> Schema:
    """Return a structural schema as JSON Schema that refuses unknown fields, as `kubectl apply` does."""
    made: Schema = {}
    for word, said in schema.items():
        if word == "properties":
            made[word] = {name: strict(inner) for name, inner in said.items()}
        elif word in {"items", "not"} or (word == "additionalProperties" and isinstance(said, dict)):
            made[word] = strict(said)
        elif word in {"allOf", "anyOf", "oneOf"}:
            # They only narrow what stands beside them, so they are not closed.
            made[word] = said
        elif word not in {"format", "nullable"} and not word.startswith("x-kubernetes-"):
            made[word] = said
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    if schema.get("nullable"):
        made = {"anyOf": [made, {"type": "null"}]}
    return made


def errors(manifest: dict[str, Any]) -> list[str]:
    group, _, version = manifest["apiVersion"].partition("/")
    found = jsonschema_rs.validator_for(definition(group, version, manifest["kind"])).iter_errors(manifest)
    return [f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in found]


def custom(overlay: str) -> list[dict[str, Any]]:
    return [manifest for manifest in rendered(overlay) if manifest["kind"] in CUSTOM]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_custom_resources_are_valid_by_their_definitions(overlay: str) -> None:
    assert {manifest["metadata"]["name"]: errors(manifest) for manifest in custom(overlay) if errors(manifest)} == {}
    groups = {manifest["apiVersion"].partition("/")[0] for manifest in rendered(overlay)}
    own = {group for group in groups if "." in group and not group.endswith(".k8s.io")}
    assert own == {manifest["apiVersion"].partition("/")[0] for manifest in custom(overlay)}, "no kind is left out"


def test_every_kind_of_the_overlays_is_validated() -> None:
    assert {manifest["kind"] for overlay in OVERLAYS for manifest in custom(overlay)} == CUSTOM


@pytest.mark.parametrize("rules", [RULES, APP_RULES], ids=lambda path: path.name)
def test_alert_rules_are_the_spec_of_a_prometheus_rule(rules: Path) -> None:
    spec = yaml.safe_load(rules.read_text(encoding="utf-8"))
    manifest = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": {}, "spec": spec}
    assert errors(manifest) == []


def test_a_wrong_field_a_wrong_type_and_a_missing_one_are_found() -> None:
    manifests = yaml.safe_load_all(yaml.safe_dump_all(custom("overlays/example")))
    of_kind = {manifest["kind"]: manifest for manifest in manifests}
    of_kind["ServiceMonitor"]["spec"]["endpoints"][0]["intervall"] = "10s"
    of_kind["ScaledObject"]["spec"]["maxReplicaCount"] = "6"
    del of_kind["TriggerAuthentication"]["spec"]["secretTargetRef"][0]["key"]
    said = {kind: errors(manifest) for kind, manifest in of_kind.items()}
    assert "intervall" in said["ServiceMonitor"][0]
    assert said["ScaledObject"][0].startswith("spec/maxReplicaCount: ")
    assert "key" in said["TriggerAuthentication"][0]
