"""`make pins` against the registry that Docker Hub and most others run: distribution, with tokens as theirs."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from joserfc import jwt
from joserfc.jwk import RSAKey

from deploy.process import LOOPBACK, ChildProcess, free_port, wait_until
from tests import PATIENCE_S
from tests.deploy.assets import ROOT
from tests.fixtures.go_modules import installed

INDEX: Final = "application/vnd.oci.image.index.v1+json"
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
KEY: Final = RSAKey.generate_key(2048, {"kid": "tests"})


class Tokens(BaseHTTPRequestHandler):
    """Gives anybody a token for what they ask, as Docker Hub does for public images; the tests ask to push, too."""

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        access = [
            {"type": kind, "name": name, "actions": actions.split(",")}
            for kind, name, actions in (scope.split(":") for scope in asked.get("scope", []))
        ]
        body = json.dumps({"token": token(access)}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        del format, args


def token(access: list[dict[str, Any]]) -> str:
    now = int(time.time())
    claims = {"iss": "tests", "aud": "registry", "sub": "", "iat": now, "nbf": now - 60, "exp": now + 600, "jti": "1"}
    return jwt.encode({"alg": "RS256", "kid": "tests"}, {**claims, "access": access}, KEY)


class Registry:
    """A running registry on the loopback address."""

    def __init__(self, url: str) -> None:
        self.url = url

    def push(self, name: str, tag: str, architecture: str = "amd64") -> str:
        """Push an image and the list that has it; return the digest of the list."""
        access = [{"type": "repository", "name": name, "actions": ["pull", "push"]}]
        rootfs = {"type": "layers", "diff_ids": list[str]()}
        config = json.dumps({"architecture": architecture, "os": "linux", "rootfs": rootfs, "tag": tag}).encode()
        started = self._ask("POST", f"{self.url}/v2/{name}/blobs/uploads/", access)
        where = f"{started['Location']}&digest={digest(config)}"
        self._ask("PUT", where, access, config, "application/octet-stream")
        described = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(config)}
        image = {"config": {**described, "size": len(config)}, "layers": list[str]()}
        one = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, **image}).encode()
        self._ask("PUT", f"{self.url}/v2/{name}/manifests/{digest(one)}", access, one, MANIFEST)
        listed = [{"mediaType": MANIFEST, "digest": digest(one), "size": len(one)}]
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}).encode()
        self._ask("PUT", f"{self.url}/v2/{name}/manifests/{tag}", access, index, INDEX)
        return digest(index)

    def _ask(
        self, method: str, url: str, access: list[dict[str, Any]], body: bytes = b"", kind: str = "text/plain"
    ) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {token(access)}", "Content-Type": kind}
        request = urllib.request.Request(url, data=body, method=method, headers=headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310
            return dict(answer.headers)


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    program = installed("github.com/distribution/distribution/v3/cmd/registry", "v3.1.2")
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [KEY.as_dict(private=False)]}), encoding="utf-8")
    url = f"http://{LOOPBACK}:{free_port()}"
    with ThreadingHTTPServer((LOOPBACK, 0), Tokens) as tokens:
        threading.Thread(target=tokens.serve_forever, daemon=True).start()
        settings = {
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": str(tmp_path / "blobs")}},
            "http": {"addr": url.removeprefix("http://")},
            "auth": {
                "token": {
                    "realm": f"http://{LOOPBACK}:{tokens.server_port}/token",
                    "service": "registry",
                    "issuer": "tests",
                    "jwks": str(keys),
                }
            },
        }
        path = tmp_path / "registry.yml"
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")
        child = ChildProcess([str(program), "serve", str(path)], log_path=tmp_path / "registry.log")
        try:
            wait_until(lambda: answers(url), PATIENCE_S, "the registry")
            yield Registry(url)
        finally:
            child.terminate(5.0)
            tokens.shutdown()


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/v2/", timeout=5)  # noqa: S310
    except urllib.error.HTTPError as error:
        return error.code == 401
    except OSError:
        return False
    return True


def pins(checkout: Path, *words: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "deploy.images.pins", *words]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    return done.returncode, done.stdout + done.stderr


def images_of_others(compose: Path) -> set[str]:
    services = yaml.safe_load(compose.read_text(encoding="utf-8"))["services"].values()
    return {service["image"] for service in services if not service["image"].startswith("starstream-")}


def test_pins_are_the_digests_that_a_registry_gives_and_a_moved_tag_is_found(
    registry: Registry, tmp_path: Path
) -> None:
    checkout, asked = tmp_path / "checkout", f"--registry={registry.url}"
    shutil.copytree(ROOT / "deploy/images", checkout / "deploy/images", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "deploy/__init__.py", checkout / "deploy")
    compose = Path(shutil.copy(ROOT / "docker-compose.yml", checkout))
    tags = {image.partition("@")[0] for image in images_of_others(compose)}
    code, said = pins(checkout, asked)
    assert (code, "404" in said) == (1, True), "no image is there yet"

    def pushed(image: str, architecture: str) -> str:
        name, _, tag = image.partition(":")
        return registry.push(name if "/" in name else f"library/{name}", tag, architecture)

    expected = {f"{image}@{pushed(image, 'amd64')}" for image in tags}
    assert pins(checkout, asked, "--check")[0] == 1
    assert pins(checkout, asked)[0] == 0
    assert images_of_others(compose) == expected
    assert pins(checkout, asked, "--check") == (0, "pins: every digest is the tag's\n")
    (redis,) = (image for image in tags if image.startswith("redis:"))
    moved = pushed(redis, "riscv64")
    assert pins(checkout, asked, "--check") == (1, f"image: {redis}@{moved}\n")
    assert images_of_others(compose) == expected, "a check writes nothing"
