"""The worker container's health check: is `/readyz` 200?

Owns the exit code and one line that says why not, which `docker inspect` shows. Asks the host and port of
WORKER_HTTP_HOST and WORKER_HTTP_PORT. Standard library only. It uses `http.client` because `urllib` would go through a
proxy if the container has one set.
"""

import http.client
import os
import sys

ALL = {"", "::", "0.0.0.0"}  # noqa: S104  (asked for below as loopback)


def main() -> int:
    """Return 0 when the worker is ready, else 1."""
    host = os.environ.get("WORKER_HTTP_HOST", "").strip().removeprefix("[").removesuffix("]")
    port = os.environ.get("WORKER_HTTP_PORT") or "9464"
    try:
        server = http.client.HTTPConnection("127.0.0.1" if host in ALL else host, int(port), timeout=3)
        server.request("GET", "/readyz")
        answer = server.getresponse()
        print(answer.read().decode("utf-8", errors="replace").strip())
    except (OSError, ValueError, http.client.HTTPException) as error:
        print(f"no answer: {error}")
        return 1
    return 0 if answer.status == http.HTTPStatus.OK else 1


if __name__ == "__main__":
    sys.exit(main())
