"""The Dockerfile: what goes into the images, by hash, their user, and their two scripts. It builds nothing."""

from __future__ import annotations

import http.server
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from deploy.process import free_port
from schemas import __version__
from tests import PATIENCE_S
from tests.deploy.assets import DOCKERFILE, ROOT, compose
from tests.doubles import ManualClock
from worker.ops.health import Health
from worker.ops.http_server import serve_http
from worker.settings import read_settings

HEALTHCHECK = ROOT / "deploy/docker/healthcheck.py"
TRAINER = ROOT / "deploy/docker/trainer.sh"


def stages() -> dict[str, list[tuple[str, str]]]:
    """Each stage's instructions, as (word, rest) with continued lines joined."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    found: dict[str, list[tuple[str, str]]] = {}
    stage = ""
    for line in text.splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            if word == "FROM":
                stage = rest.split(" AS ")[1]
                found[stage] = []
            found.setdefault(stage, []).append((word, re.sub(r"\s+", " ", rest.strip())))
    return found


STAGES = stages()


def copied() -> list[str]:
    return [
        source
        for instructions in STAGES.values()
        for word, rest in instructions
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]


def test_every_copied_path_exists_and_passes_dockerignore() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert lines[1] == "*", "everything is excluded unless it is named"
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    given = dict(re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE))
    named = {source.replace("${WORKER_LOCK}", given["WORKER_LOCK"]) for source in copied()}
    assert {"lock/*.txt" if source.startswith("lock/") else source for source in named} == allowed
    assert all((ROOT / source).exists() for source in named)


@pytest.mark.parametrize("stage", ["worker", "trainer"])
def test_image_runs_as_a_numeric_user_that_is_not_root(stage: str) -> None:
    words = [word for word, _ in STAGES[stage]]
    user = dict(STAGES[stage])["USER"]
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user), "Kubernetes' runAsNonRoot asks for a number"
    assert words.index("USER") < words.index("ENTRYPOINT")
    assert not {"ADD", "VOLUME"} & set(words)


def test_every_package_is_installed_by_hash_or_is_the_project_itself() -> None:
    installs = [
        command
        for instructions in STAGES.values()
        for word, rest in instructions
        if word == "RUN"
        for command in rest.split("&&")
        if re.search(r"pip (--python \S+ )?install", command)
    ]
    assert len(installs) == 5
    for command in installs:
        assert "--require-hashes -r" in command or "--no-deps --no-index" in command, command


def test_image_is_of_the_version_of_the_code_on_a_python_the_project_supports() -> None:
    given = dict(re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE))
    assert re.fullmatch(r"python:3\.(11|12|13)-slim(-[a-z]+)?", given["PYTHON_IMAGE"])
    assert given["VERSION"] == __version__


def test_worker_image_holds_no_package_of_the_trainer() -> None:
    assert dict(STAGES["worker-packages"])["COPY"]
    assert all("trainer" not in rest for _, rest in STAGES["worker-packages"] + STAGES["worker"])
    names = re.findall(r"^([a-z0-9-]+)==", (ROOT / "lock/worker.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert not {"tensorflow", "tensorflow-cpu", "keras", "nltk", "scikit-learn", "matplotlib"} & set(names)


def test_build_backend_is_taken_from_the_lock_with_its_hashes() -> None:
    sed = next(rest for word, rest in STAGES["project"] if word == "RUN" and rest.startswith("sed")).split(" > ")[0]
    made = subprocess.run(["sh", "-c", sed], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert made[0].startswith("setuptools==")
    assert made[1:], "hashes"
    assert all(line.strip().startswith("--hash=sha256:") for line in made[1:])
    assert not made[-1].endswith("\\")


def test_health_check_is_the_same_in_image_and_compose() -> None:
    rest = dict(STAGES["worker"])["HEALTHCHECK"]
    command = re.findall(r'"([^"]+)"', rest.partition("CMD")[2])
    assert ["CMD", *command] == compose()["services"]["worker"]["healthcheck"]["test"]
    copies = [rest for word, rest in STAGES["worker"] if word == "COPY"]
    assert f"{HEALTHCHECK.relative_to(ROOT)} {command[1]}" in copies


def test_worker_image_runs_the_worker_and_exposes_its_port() -> None:
    worker = dict(STAGES["worker"])
    assert worker["ENTRYPOINT"] == '["python", "-m", "worker"]'
    assert worker["CMD"] == '["run"]'
    assert worker["EXPOSE"] == "9464"
    assert list(STAGES)[-1] == "worker", "a build without --target makes the worker"


def _check(port: int | str, host: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "WORKER_HTTP_PORT": str(port), "WORKER_HTTP_HOST": host}
    environment["http_proxy"] = "http://127.0.0.1:9"
    command = [sys.executable, str(HEALTHCHECK)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S)


@pytest.mark.parametrize(("parts", "code", "said"), [((), 0, ""), (("redis",), 1, "starting")])
def test_health_check_passes_on_a_ready_worker_and_says_why_another_is_not(
    parts: tuple[str, ...], code: int, said: str, clock: ManualClock
) -> None:
    done = _check(serve_http("127.0.0.1", 0, CollectorRegistry(), Health(clock, stall_s=1, parts=parts)))
    assert done.returncode == code
    assert said in done.stdout


@pytest.mark.parametrize("host", ["::", "0.0.0.0", "::1", "[::1]", "127.0.0.2", "localhost"])  # noqa: S104
def test_health_check_asks_the_host_that_is_set(host: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_HTTP_HOST", host)
    port = serve_http(read_settings().http_host, 0, CollectorRegistry(), Health(clock, stall_s=1, parts=()))
    assert _check(port, host).returncode == 0


def test_health_check_names_a_port_that_is_none() -> None:
    done = _check("nan")
    assert (done.returncode, done.stderr) == (1, "")


class _Silent(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.wfile.write(b"not HTTP\r\n\r\n")


def test_health_check_fails_without_a_server_and_on_an_answer_that_is_not_http() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), _Silent) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        checks = [_check(server.server_port), _check(free_port())]
    assert [done.returncode for done in checks] == [1, 1]
    assert all("no answer" in done.stdout for done in checks)
    assert [done.stderr for done in checks] == ["", ""]


def _train(folder: Path, *arguments: str, fails: str = "") -> tuple[int, list[str]]:
    """Run the trainer's entry point with a stub `python` that records its arguments."""
    stub = folder / "python"
    stub.write_text(f'#!/bin/sh\necho "$*" >> "{folder}/calls"\ncase "$*" in *"{fails or "never"}"*) exit 3;; esac\n')
    stub.chmod(0o755)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "XDG_CACHE_HOME": "/cache"}
    done = subprocess.run(["sh", str(TRAINER), *arguments], env=environment, check=False, timeout=PATIENCE_S)
    return done.returncode, (folder / "calls").read_text(encoding="utf-8").splitlines()


SAMPLE = "-m trainer sample --out /cache/sample.csv"


@pytest.mark.parametrize(
    ("arguments", "fails", "expected"),
    [
        ((), "", (0, [SAMPLE, "-m trainer train --data /cache/sample.csv"])),
        ((), "trainer sample", (3, [SAMPLE])),
        (("train", "--data", "a b.csv"), "", (0, ["-m trainer train --data a b.csv"])),
    ],
)
def test_trainer_image_trains_with_its_arguments_or_else_on_the_sample_set(
    arguments: tuple[str, ...], fails: str, expected: tuple[int, list[str]], tmp_path: Path
) -> None:
    assert _train(tmp_path, *arguments, fails=fails) == expected


def test_dockerfile_has_no_finding_of_hadolint_but_those_with_a_reason() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([str(hadolint), "--no-color", str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
