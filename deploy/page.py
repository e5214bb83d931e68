"""Asks a worker's page; the demo, the tests and the benchmarks use it."""

from __future__ import annotations

import urllib.error
import urllib.request


def fetch(url: str) -> tuple[int, str]:
    """Return a page's status and text, whatever the status; 0 and an empty text without an answer within 5 s."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  (our own page)
            return answer.status, str(answer.read(), "utf-8")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, str(error.read(), "utf-8")
    except OSError:
        return 0, ""
