"""Whatever a flag of a command is given: it is taken, or named in one line. Never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.worker.test_hostile_settings import ODD, values
from worker.__main__ import main
from worker.errors import ExitCode

REPLAY = ["--from=earliest", "--version=20260101T000000Z-70700000", "--topic-out=again", "--redis-prefix=again:"]
# Commands that end before they ask a service, whatever the flag: there is no bundle or no input, or the run is dry.
COMMANDS = {
    "replay": (REPLAY, ["--from", "--to", "--version", "--topic-out", "--redis-prefix", "--group", "--json"]),
    "predict": (["--input=none.csv"], ["--input", "--output", "--encoding", "--delimiter", "--text-column"]),
    "produce": (["--dry-run", "--input=in.csv"], ["--input", "--topic", "--rate", "--encoding", "--delimiter"]),
}
FLAGS = [(command, flag) for command, (_, flags) in COMMANDS.items() for flag in flags]


@pytest.mark.usefixtures("clean_environment")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(which=st.sampled_from(FLAGS), value=values | st.sampled_from([*ODD, "9999-12-31", "0001-01-01T00:00+14:00"]))
def test_a_hostile_flag_is_taken_or_named(
    which: tuple[str, str], value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("in.csv").write_text("content\nlove it\n")
    command, flag = which
    others = [word for word in COMMANDS[command][0] if not word.startswith(f"{flag}=")]
    code = main([command, *others, f"{flag}={value}", *([] if command == "produce" else ["--registry=none"])])
    lines = capsys.readouterr().err.splitlines()
    assert code in {ExitCode.OK, ExitCode.USAGE, ExitCode.MODEL, ExitCode.INPUT}
    assert code in {ExitCode.OK, ExitCode.INPUT} or len(lines) == 1, lines
    names = (flag, "--text-field", "WORKER_", "FILE is missing", "none.csv")  # an empty --input is no file
    assert code != ExitCode.USAGE or any(name in lines[0] for name in names)
