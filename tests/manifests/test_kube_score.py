"""kube-score finds nothing in the overlays but what deploy/kubernetes/kube-score.yaml gives a reason for."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.deploy.assets import KUBERNETES
from tests.deploy.test_kubernetes import rendered
from tests.fixtures.go_modules import installed

OVERLAYS: Final = ("overlays/example", "overlays/serve")  # what is applied; the base is not
EXCEPTIONS: Final = KUBERNETES / "kube-score.yaml"
OPTIONAL: Final = ("container-seccomp-profile", "container-ports-check")
FINE: Final = 10  # the grade of a check that finds nothing
Finding = tuple[str, str, str]  # check, what it says, kind/name


@pytest.fixture(scope="module")
def kube_score() -> Path:
    return installed("github.com/zegl/kube-score/cmd/kube-score", "v1.20.0")


def findings(kube_score: Path, manifests: list[dict[str, Any]]) -> set[Finding]:
    command = [str(kube_score), "score", "-", "--output-format=json", "--kubernetes-version=v1.34"]
    command += [f"--enable-optional-test={check}" for check in OPTIONAL]
    given = yaml.safe_dump_all(manifests)
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    scored = json.loads(done.stdout)
    assert len(scored) >= len({manifest["kind"] for manifest in manifests} & {"Deployment", "StatefulSet", "CronJob"})
    return {
        (check["check"]["id"], comment["summary"], f"{scored_['type_meta']['kind']}/{scored_['object_meta']['name']}")
        for scored_ in scored
        for check in scored_["checks"]
        if check["grade"] < FINE and not check["skipped"]
        for comment in check["comments"] or [{"summary": ""}]
    }


def test_kube_score_finds_what_has_its_reason_and_nothing_else(kube_score: Path) -> None:
    found = {finding for overlay in OVERLAYS for finding in findings(kube_score, rendered(overlay))}
    exceptions = yaml.safe_load(EXCEPTIONS.read_text(encoding="utf-8"))
    assert all(len(exception["because"].split()) >= 8 for exception in exceptions)
    assert found == {(known["check"], known["says"], of) for known in exceptions for of in known["of"]}


def test_kube_score_finds_a_worker_without_limit_policy_and_service(kube_score: Path) -> None:
    manifests = yaml.safe_load_all(yaml.safe_dump_all(rendered("overlays/example")))
    kept = [manifest for manifest in manifests if manifest["kind"] not in {"NetworkPolicy", "Service"}]
    (workers,) = (manifest for manifest in kept if manifest["kind"] == "StatefulSet")
    del workers["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    checks = {check for check, _, of in findings(kube_score, kept) if of == "StatefulSet/starstream-worker"}
    assert {"container-resources", "pod-networkpolicy", "statefulset-has-servicename"} <= checks
