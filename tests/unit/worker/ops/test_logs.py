"""The log: one JSON object a line, with the event's name, from the level that is set."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from worker.ops.logs import StructuredLog, configure_logs


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in ("starstream", "kafka")}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, kept in levels.items():
        logging.getLogger(name).setLevel(kept)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    out, err = capsys.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


def test_an_event_is_one_line_with_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    log = configure_logs("info", "json")
    log(logging.WARNING, "outage", part="redis", reason='said "no"\nand left', tries=3, ok=None)
    (entry,) = lines(capsys)
    assert entry.pop("ts").endswith("Z")
    assert entry.pop("pid") > 0
    assert entry == {
        "level": "warning",
        "event": "outage",
        "logger": "starstream",
        "part": "redis",
        "reason": 'said "no"\nand left',
        "tries": 3,
        "ok": None,
    }


@pytest.mark.parametrize(("level", "kept"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_events_below_the_level_are_dropped(level: str, kept: int, capsys: pytest.CaptureFixture[str]) -> None:
    log = configure_logs(level, "json")
    for number in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        log(number, "event")
    assert len(lines(capsys)) == kept


def test_other_libraries_log_from_warning_on_and_the_kafka_client_only_at_debug(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("info", "json")
    logging.getLogger("kafka.conn").error("connection failed, again")
    logging.getLogger("other").info("chatter")
    logging.getLogger("other").warning("important")
    assert [(entry["logger"], entry["event"]) for entry in lines(capsys)] == [("other", "important")]
    configure_logs("debug", "json")
    logging.getLogger("kafka.conn").warning("connection failed")
    assert [entry["event"] for entry in lines(capsys)] == ["connection failed"]


def test_an_exception_is_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")
    try:
        int("broken")
    except ValueError:
        logging.getLogger("starstream").exception("crashed")
    (entry,) = lines(capsys)
    assert "ValueError: invalid literal" in entry["exception"]


def test_an_event_is_one_line_even_when_configured_twice(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")
    configure_logs("info", "json")(logging.INFO, "once")
    assert len(lines(capsys)) == 1


def test_the_text_format_is_readable(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "text")(logging.INFO, "page_serving", url="http://x/metrics")
    line = capsys.readouterr().err
    assert line.rstrip().endswith("info    page_serving url=http://x/metrics")


def test_a_disabled_event_costs_no_formatting() -> None:
    configure_logs("error", "json")

    class Untouchable:
        def __str__(self) -> str:
            raise AssertionError("formatted")

    StructuredLog()(logging.INFO, "quiet", field=Untouchable())  # type: ignore[arg-type]  # on purpose
