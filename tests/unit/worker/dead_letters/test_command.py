"""The flags of `dlq`: which are refused, and which are left to the settings."""

from __future__ import annotations

import pytest

from tests.fixtures.flags import parsed
from worker.__main__ import main
from worker.errors import ExitCode


@pytest.mark.usefixtures("clean_environment")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("list --reason typo", "--reason typo: takes not_utf8,"),
        ("list --from yesterday", "--from yesterday: takes how long ago (2h, 30d), an ISO 8601 time"),
        ("list --to 2026-13-01", "--to 2026-13-01: takes how long ago (2h, 30d), an ISO 8601 time"),
        ("list --from latest", "--from latest"),
        ("show 12", "show 12: takes PARTITION:OFFSET"),
        ("redrive --to-topic reviews.dlq --yes", "--to-topic reviews.dlq: never the dead-letter topic"),
        ("redrive --to-topic ratings --yes", "--to-topic ratings: never the dead-letter topic or the output topic"),
        ("redrive", "--yes: needed to send the letters"),
    ],
)
def test_wrong_flag_is_named(capsys: pytest.CaptureFixture[str], words: str, message: str) -> None:
    assert main(["dlq", *words.split()]) == ExitCode.USAGE
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["redrive", "replay"])
def test_redrive_has_an_older_name_and_leaves_other_flags_to_the_settings(verb: str) -> None:
    known, given = parsed(f"dlq {verb} --yes --to-topic t --kafka-bootstrap-servers k:1 --input-topics a")
    assert (known.yes, known.to_topic, known.limit, known.max_attempts) == (True, "t", 0, 3)
    assert given == {"kafka_bootstrap_servers": ["k:1"], "input_topics": ["a"]}
