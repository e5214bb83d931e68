"""The flags of `replay`: which are refused, and that nothing live is written."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.fixtures.flags import parsed
from tests.fixtures.world import SETTINGS
from worker.__main__ import main
from worker.errors import ExitCode, SettingsError
from worker.replay import command

FLAGS = "replay --from earliest --version v1 --topic-out out --redis-prefix new:"


def flags(words: str) -> SimpleNamespace:
    return parsed(words)[0]


def test_replay_has_topics_keys_and_a_group_of_its_own() -> None:
    live = SETTINGS.model_copy(update={"redis_prefix": "live:", "instance_id": "worker-0", "kafka_client": "confluent"})
    derived = command.replay_settings(live, flags(FLAGS))
    assert (derived.group_id, derived.output_topic, derived.redis_prefix) == ("starstream-replay-v1", "out", "new:")
    assert (derived.model_version, derived.instance_id, derived.kafka_client) == ("v1", None, "kafka-python")
    assert derived.auto_offset_reset == "earliest"
    assert command.replay_settings(live, flags(f"{FLAGS} --group mine")).group_id == "mine"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--topic-out ratings", r"--topic-out ratings: is live \(WORKER_OUTPUT_TOPIC\)"),
        ("--topic-out reviews", r"--topic-out reviews: is live \(WORKER_INPUT_TOPICS\)"),
        ("--topic-out reviews.dlq", r"--topic-out reviews.dlq: is live \(WORKER_DEAD_LETTER_TOPIC\)"),
        ("--redis-prefix live:", r"--redis-prefix live:: is live \(WORKER_REDIS_PREFIX\)"),
        (f"--redis-prefix {'x' * 65}", r"--redis-prefix: 1 to 64 characters"),
        ("--redis-prefix=", r"--redis-prefix: 1 to 64 characters"),
        ("--group starstream", r"--group starstream: is the workers' own"),
    ],
)
def test_live_names_are_refused(more: str, message: str) -> None:
    live = SETTINGS.model_copy(update={"redis_prefix": "live:"})
    with pytest.raises(SettingsError, match=message):
        command.replay_settings(live, flags(f"{FLAGS} {more}"))


@pytest.mark.usefixtures("clean_environment")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (f"{FLAGS} --to never", "--to never: takes an ISO 8601 time"),
        (f"{FLAGS} --to earliest", "--to earliest: nothing is between them"),
        (f"{FLAGS} --json no/such/folder.json", "--json no/such/folder.json: no such folder"),
        (f"{FLAGS} --topic-out ratings", "--topic-out ratings: is live"),
        (f"{FLAGS} --group-id a --group a", "--group a: is the workers' own"),
    ],
)
def test_wrong_flag_ends_the_command(capsys: pytest.CaptureFixture[str], words: str, message: str) -> None:
    assert main(words.split()) == ExitCode.USAGE
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("clean_environment")
def test_missing_bundle_has_its_own_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(FLAGS.split()) == ExitCode.MODEL
    assert "v1" in capsys.readouterr().err
