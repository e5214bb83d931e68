"""The wait for the scrape that is due: none without a scraper, and no longer than twice its interval."""

from __future__ import annotations

import threading

from tests.doubles import ManualClock
from worker.clock import SystemClock
from worker.ops.scrapes import Scrapes


def never() -> bool:
    return False


def test_a_process_that_nobody_scrapes_does_not_wait(clock: ManualClock) -> None:
    scrapes = Scrapes(clock)
    assert not scrapes.await_next(never)
    scrapes.collect()
    assert not scrapes.await_next(never)


def test_a_scraper_that_has_gone_is_not_waited_for(clock: ManualClock) -> None:
    scrapes = Scrapes(clock)
    scrapes.collect()
    clock.advance(10)
    scrapes.collect()
    clock.advance(21)
    assert not scrapes.await_next(never)


def test_the_next_scrape_ends_the_wait_and_so_does_a_signal() -> None:
    scrapes, stopped = Scrapes(SystemClock()), threading.Event()
    scrapes.collect()
    threading.Event().wait(0.2)
    scrapes.collect()
    threading.Timer(0.1, scrapes.collect).start()
    assert scrapes.await_next(stopped.is_set)
    stopped.set()
    assert not scrapes.await_next(stopped.is_set)
