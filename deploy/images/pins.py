"""`make pins`: the digest of each image of others in docker-compose.yml, beside its tag, asked of its registry.

Owns the rewriting. A tag may be moved by its owner, a digest cannot; the tag stays for those who read. With `--check`
it writes nothing, and says what has moved. `--registry URL` asks a mirror in place of Docker Hub.

Exit codes: 0 done, 1 a registry does not answer or, with `--check`, a pin differs, 2 a wrong flag.
"""

import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from getopt import GetoptError, getopt
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

COMPOSE: Final = Path(__file__).parents[2] / "docker-compose.yml"
HUB: Final = "https://registry-1.docker.io"
_IMAGE: Final = re.compile(
    r"^(?P<before> +image: )(?P<name>(?!starstream-)[\w./-]+):(?P<tag>[\w.-]+)(?:@sha256:\w+)?$", re.M
)
# The digest of the list of all platforms, so that one pin serves them all.
_LISTS: Final = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"
_TIMEOUT_S: Final = 30


def pinned(text: str, digest_of: Callable[[str, str], str]) -> str:
    """Return the file's text with the digest of each image of others; it is asked once for each."""
    found = {(image["name"], image["tag"]) for image in _IMAGE.finditer(text)}
    digests = {image: digest_of(*image) for image in sorted(found)}

    def with_digest(image: re.Match[str]) -> str:
        return f"{image['before']}{image['name']}:{image['tag']}@{digests[image['name'], image['tag']]}"

    return _IMAGE.sub(with_digest, text)


def digest_from(registry: str, name: str, tag: str) -> str:
    """Return an image's digest, as its registry names it (OCI distribution: HEAD of the manifest).

    Raises:
        OSError: the registry does not answer, or has no such image.
    """
    repository = name if "/" in name else f"library/{name}"  # Docker Hub's own
    url, headers = f"{registry}/v2/{repository}/manifests/{tag}", {"Accept": _LISTS}
    try:
        answer = _head(url, headers)
    except urllib.error.HTTPError as error:
        challenge = dict(re.findall(r'(\w+)="([^"]*)"', error.headers.get("WWW-Authenticate", "")))
        if error.code != 401 or "realm" not in challenge:
            raise
        query = urlencode({"service": challenge.get("service", ""), "scope": f"repository:{repository}:pull"})
        with urllib.request.urlopen(f"{challenge['realm']}?{query}", timeout=_TIMEOUT_S) as said:  # noqa: S310
            given = json.load(said)
        token = given.get("token") or given.get("access_token", "")  # either name may be in use
        answer = _head(url, {**headers, "Authorization": f"Bearer {token}"})
    return answer


def _head(url: str, headers: dict[str, str]) -> str:
    request = urllib.request.Request(url, headers=headers, method="HEAD")  # noqa: S310
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
        digest: str = answer.headers["Docker-Content-Digest"]
    return digest


def main(arguments: list[str]) -> int:
    """Pin the images, or check the pins."""
    try:
        flags, words = getopt(arguments, "", ["check", "registry="])
    except GetoptError as error:
        flags, words = [], [str(error)]
    if words:
        print(f"pins: {words[0]}: only --check and --registry URL are known", file=sys.stderr)
        return 2
    given = dict(flags)
    text, registry = COMPOSE.read_text(encoding="utf-8"), given.get("--registry", HUB).rstrip("/")
    try:
        new = pinned(text, lambda name, tag: digest_from(registry, name, tag))
    except OSError as error:
        print(f"pins: {registry}: {error}", file=sys.stderr)
        return 1
    moved = [line.strip() for line in new.splitlines() if line not in text.splitlines()]
    print("\n".join(moved) or "pins: every digest is the tag's")
    if "--check" in given:
        return int(bool(moved))
    COMPOSE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
