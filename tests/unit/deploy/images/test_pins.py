"""Digests beside the tags of compose's images, asked of a registry that wants a token first, as Docker Hub does."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError

import pytest

from deploy.images.pins import COMPOSE, digest_from, main, pinned

DIGEST = f"sha256:{'ab' * 32}"


class Registry(BaseHTTPRequestHandler):
    """Has `redis:8` for those with a token; images of Docker Hub's own are under `library`."""

    def do_GET(self) -> None:
        body = json.dumps({"token": "t"} if "scope=repository%3Alibrary%2Fredis%3Apull" in self.path else {}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        known = self.path == "/v2/library/redis/manifests/8" and "oci.image.index" in self.headers["Accept"]
        allowed = self.headers["Authorization"] == "Bearer t"
        self.send_response(200 if known and allowed else 404 if allowed else 401)
        if not allowed:
            host = self.headers["Host"]
            self.send_header("WWW-Authenticate", f'Bearer realm="http://{host}/token",service="registry"')
        self.send_header("Docker-Content-Digest", DIGEST)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        del format, args


@pytest.fixture
def registry() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_digest_is_asked_of_the_registry_with_its_token(registry: str) -> None:
    assert digest_from(registry, "redis", "8") == DIGEST
    with pytest.raises(HTTPError):
        digest_from(registry, "redis", "9")


def test_every_image_of_others_gets_its_digest_beside_its_tag_and_ours_none() -> None:
    asked: list[tuple[str, str]] = []

    def digest_of(name: str, tag: str) -> str:
        asked.append((name, tag))
        return DIGEST

    text = COMPOSE.read_text(encoding="utf-8")
    new = pinned(text, digest_of)
    assert len(asked) == len(set(asked)) >= 4
    images = re.findall(r"^ +image: (\S+)$", new, re.MULTILINE)
    assert {image.partition("@")[2] for image in images if not image.startswith("starstream-")} == {DIGEST}
    assert all("@" not in image for image in images if image.startswith("starstream-"))
    assert pinned(new, digest_of) == new
    assert re.sub(rf"@{DIGEST}", "", new) == re.sub(r"@sha256:\w+", "", text)


def test_a_flag_in_two_words_is_read_and_a_wrong_one_writes_nothing(
    registry: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not Docker Hub asked in place of the mirror, and a misspelled --check is no order to write."""
    before = COMPOSE.read_text(encoding="utf-8")
    assert main(["--registry", registry, "--check"]) == 1  # it has one of the images
    assert registry in capsys.readouterr().err
    assert [main(["--registry", registry, wrong]) for wrong in ("--chek", "check")] == [2, 2]
    assert COMPOSE.read_text(encoding="utf-8") == before
