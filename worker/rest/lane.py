"""Blocking calls to a service, on threads of its own: its outage delays neither ratings nor calls to other services.

Owns the threads, and how many calls may wait for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from worker.rest.problems import try_again

_MOST_CALLS: Final = 100
T = TypeVar("T")


class Lane:
    """The way to one service.

    Args:
        service: its name, for errors.
        threads: how many calls it gets at once.
        timeout_s: longest wait of a call, for a thread and for the answer.
    """

    def __init__(self, service: str, *, threads: int, timeout_s: float) -> None:
        self._service = service
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=service)
        self._calls = 0

    async def call(self, function: Callable[[], T]) -> T:
        """Return what a function returns; one that has not begun in time is not called.

        Raises:
            Problem: 503, too many calls wait, or this one waited too long.
        """
        if self._calls >= _MOST_CALLS:
            raise try_again(503, f"{self._service}: {_MOST_CALLS} requests wait for it already; try again")
        self._calls += 1
        try:
            coming = asyncio.get_running_loop().run_in_executor(self._threads, function)
            return await asyncio.wait_for(coming, self._timeout_s)
        except TimeoutError:
            raise try_again(503, f"{self._service}: no answer in {self._timeout_s:g} s; try again") from None
        finally:
            self._calls -= 1

    def close(self) -> None:
        """Let the calls that have begun end, and begin no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)
