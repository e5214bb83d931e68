"""`erase` on real services: the rating, the dead letters and the shadow topic; and what it cannot reach is said."""

from __future__ import annotations

import json

import pytest

from tests.fixtures.records import Message
from tests.fixtures.running import Deployment
from worker.__main__ import main
from worker.errors import ExitCode


def test_one_review_is_erased_and_its_letters_are_never_sent_again(
    deployment: Deployment, capsys: pytest.CaptureFixture[str], clean_environment: pytest.MonkeyPatch
) -> None:
    del clean_environment
    shadow = f"shadow-{deployment.mark}"
    deployment.kafka.create_topics({shadow: 1})
    worker = deployment.worker().ready()
    texts = {"r-1": "good", "r-2": "bad", "r-3": " "}
    for review_id, text in texts.items():
        value = json.dumps({"review_id": review_id, "text": text}).encode()
        deployment.produce(Message(value, key=review_id.encode(), topic=deployment.input))
    bad = json.dumps({"review_id": "r-1", "text": " "}).encode()
    deployment.produce(Message(bad, key=b"r-1", topic=deployment.input), Message(bad, topic=deployment.input))
    worker.until(lambda: worker.total("starstream_reviews_settled_total") == 5, "all are settled")
    flags = [*deployment.flags(), "--shadow-topic", shadow, "--shadow-channel", "candidate"]

    assert main(["erase", "r-1", "--dry-run", *flags]) == ExitCode.OK
    assert "would send:" in capsys.readouterr().out
    assert deployment.stored_ids() == {"r-1", "r-2"}

    assert main(["erase", "r-1", "--wait", "60", *flags]) == ExitCode.OK
    said = capsys.readouterr().out
    assert deployment.stored_ids() == {"r-2"}
    assert [(seen.key, seen.value) for seen in deployment.read(deployment.output)][-1] == (b"r-1", None)
    assert [(seen.key, seen.value) for seen in deployment.read(shadow)] == [(b"r-1", None)]
    letters = deployment.read(deployment.dead)
    assert [(seen.key, seen.value) for seen in letters if seen.value is None] == [(b"r-1", None)]
    assert "a tombstone for 1 dead letters" in said
    assert "a dead letter without a key: it stays until the topic deletes it" in said
    for topic in (deployment.input, deployment.output, deployment.dead, shadow):
        assert f"{topic}: is not compacted (cleanup.policy): older records of this review stay until" in said

    capsys.readouterr()
    assert main(["dlq", "list", "--json", *deployment.flags()]) == ExitCode.OK
    assert len(capsys.readouterr().out.splitlines()) == 3, "a tombstone of `erase` is no letter"
    assert main(["dlq", "redrive", "--dry-run", *deployment.flags()]) == ExitCode.INPUT
    printed = capsys.readouterr()
    assert "1 not: the review was erased since (`erase`)" in printed.err
    assert "key=r-1 " not in printed.out
    assert "key=r-3 " in printed.out


def test_without_a_worker_it_says_that_the_rating_is_still_there(
    deployment: Deployment, capsys: pytest.CaptureFixture[str], clean_environment: pytest.MonkeyPatch
) -> None:
    del clean_environment
    worker = deployment.worker().ready()
    deployment.produce(Message(b'{"review_id": "r-1", "text": "good"}', key=b"r-1", topic=deployment.input))
    worker.until(lambda: deployment.stored_ids() == {"r-1"}, "it is rated")
    worker.child.terminate(60)
    assert main(["erase", "r-1", "--wait", "0.5", *deployment.flags()]) == ExitCode.INPUT
    assert "no worker has read the tombstone; is one running?" in capsys.readouterr().out
    assert main(["erase", "\0", *deployment.flags()]) == ExitCode.USAGE
