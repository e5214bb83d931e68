"""The help of the settings: all are there, in groups, and say what they take."""

from __future__ import annotations

import pytest

from worker.commands.settings_help import GROUPS, HIDDEN, settings_help
from worker.settings import WorkerSettings


def test_every_setting_is_in_the_help_of_serve_and_the_fronts_own_in_no_other() -> None:
    serve, run = settings_help("serve"), settings_help("run")
    for name in WorkerSettings.model_fields:
        flag = f"  --{name.replace('_', '-')}"
        assert (flag in serve) == (name not in HIDDEN), name
        assert (flag in run) == (name not in HIDDEN and not name.startswith("rest_")), name
    assert {"slot", "status_file"} <= HIDDEN, "only the supervisor sets them"


def test_every_group_begins_at_a_setting_and_no_setting_is_outside() -> None:
    names = [*WorkerSettings.model_fields]
    assert [name for name in names if name in GROUPS] == [*GROUPS]
    assert names[0] in GROUPS


@pytest.mark.parametrize(
    "line",
    [
        "--linger-s SECONDS",
        "--batch-reviews N",
        "--batch-bytes BYTES",
        "--input-topics A,B,...",
        "--kafka-ssl-cafile FILE",
        "--kafka-sasl-password SECRET",
        "--delivery exactly_once|at_least_once",
        "--breaker-share X",
        "--redis-summary, --no-redis-summary",
    ],
)
def test_a_setting_says_what_it_takes(line: str) -> None:
    assert line in settings_help("run")
