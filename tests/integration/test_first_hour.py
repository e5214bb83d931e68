"""The first hour with a feed of one's own: an export goes in, its ratings are watched, looked up and counted."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.process import wait_until
from tests import PATIENCE_S
from tests.conftest import ROOT, TOY_REGISTRY, TOY_VERSION
from tests.fixtures.records import Message
from tests.fixtures.running import Deployment
from tests.fixtures.shared_kafka import SharedKafka
from worker.__main__ import main
from worker.errors import ExitCode


@pytest.fixture
def command(deployment: Deployment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run a command of the worker with the deployment's settings; return its exit code."""
    monkeypatch.chdir(tmp_path)
    for name, value in deployment.environ.items():
        monkeypatch.setenv(name, value)
    return lambda *words: main([*words])


SPREADSHEET = 'Nr;App;Kommentar;Sterne\nr1;shop;"“love” it; really";5\nr2;shop;bad;1\nr3;shop; ;2\nr4;other;love;\n'


def test_a_spreadsheet_goes_in_and_its_ratings_come_out(
    deployment: Deployment, command: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sheet.csv").write_bytes(SPREADSHEET.encode("utf-16"))
    produce = ["produce", "--input", "sheet.csv", "--text-field", "kommentar", "--id-field", "nr", "--app-field", "app"]
    worker = deployment.worker().ready()
    assert command(*produce, "--dry-run") == ExitCode.INPUT
    said = capsys.readouterr()
    assert json.loads(said.out.splitlines()[0]) == {"review_id": "r1", "app_id": "shop", "text": "“love” it; really"}
    assert "sheet.csv: row 3 (line 4): text: empty or blank" in said.err
    assert f"3 reviews would be sent to {deployment.input}, 1 row is invalid" in said.err
    assert "could not be read" not in said.err
    assert command(*produce, "--score-field", "kommentar", "--dry-run") == ExitCode.INPUT
    assert "3 without score: it could not be read" in capsys.readouterr().err
    assert command(*produce, "--score-field", "sterne", "--rate", "1000") == ExitCode.INPUT
    worker.until(lambda: deployment.stored_ids() == {"r1", "r2", "r4"}, "all are rated")

    capsys.readouterr()
    assert command("get", "--id", "r1", "--json") == ExitCode.OK
    rating = json.loads(capsys.readouterr().out)
    assert (rating["review_id"], rating["app_id"], rating["rating"]) == ("r1", "shop", 5)
    assert command("get", "--id", "r1") == ExitCode.OK
    assert "sure; " in capsys.readouterr().out
    assert command("get", "--app", "shop", "--json") == ExitCode.OK
    assert json.loads(capsys.readouterr().out) == {"app_id": "shop", "count": 2, "mean": 3.0, "stars": {"1": 1, "5": 1}}
    assert command("get", "--id", "nobody") == ExitCode.INPUT
    assert "nobody: no rating: not rated yet, deleted, or too old: ratings are kept for" in capsys.readouterr().err

    watch = ("watch", "--last", "100", "--app", "shop", "--max-stars", "2", "--count", "1")
    assert command(*watch, "--json") == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["review_id"] == "r2"
    assert command(*watch, "--with-text") == ExitCode.OK
    assert capsys.readouterr().out.split() == ["★☆☆☆☆", "73%", "r2", "shop", "bad"]
    moved = rating | {"rating": 1, "review_id": "old", "source": {"topic": "gone", "partition": 0, "offset": 1}}
    deployment.produce(Message(json.dumps(moved).encode(), key=b"old", topic=deployment.output))
    assert command(*watch[:-1], "2", "--with-text") == ExitCode.OK
    assert "old  shop  (the topic no longer has the review)" in capsys.readouterr().out

    assert command("status", "--json", "--http-port", str(worker.port)) == ExitCode.OK
    status = json.loads(capsys.readouterr().out)
    group = status["group"]
    assert (group["records_waiting"], group["partitions"], sum(group["members"].values())) == (0, 6, 6)
    assert (status["redis"], status["worker"]["ready"]) == ({"answers": True}, True)
    assert "stable" in status["model"]["channels"]

    assert command(*produce, "--skip-known") == ExitCode.INPUT
    repeated = capsys.readouterr().err
    assert "0 reviews sent" in repeated
    assert "3 left out: they have a rating" in repeated


PLAY_CONSOLE = (
    "Package Name,App Version Code,App Version Name,Reviewer Language,Device,Review Submit Date and Time,"
    "Review Submit Millis Since Epoch,Review Last Update Date and Time,Review Last Update Millis Since Epoch,"
    "Star Rating,Review Title,Review Text,Developer Reply Date and Time,Developer Reply Millis Since Epoch,"
    "Developer Reply Text,Review Link\n"
)
for _row in ("5,,love it,,,,LINK1", '1,No,"bad, bad",,,,LINK2', "4,,,,,,"):
    _sent = "2026-05-02T10:00:00Z,1777716000000"
    PLAY_CONSOLE += f"my.app,42,1.4.2,en,walleye,{_sent},{_sent},{_row}\n".replace(
        "LINK", "https://play.google.com/r=gp-"
    )
APP_STORE_CONNECT = {
    "data": [
        {
            "type": "customerReviews",
            "id": f"00000000-{number}",
            "attributes": {
                "rating": stars,
                "title": title,
                "body": body,
                "reviewerNickname": "x",
                "createdDate": "2026-05-02T10:00:00-07:00",
                "territory": "USA",
            },
            "relationships": {"response": {"links": {"self": "https://api.appstoreconnect.apple.com/x"}}},
        }
        for number, (stars, title, body) in enumerate([(5, "Great", "love it"), (1, "Oh", "bad")])
    ],
    "links": {"self": "https://api.appstoreconnect.apple.com/v1/apps/1/customerReviews"},
    "meta": {"paging": {"total": 2, "limit": 50}},
}


def test_the_exports_of_the_stores_are_rated(
    deployment: Deployment, command: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "reviews_my.app_202605.csv").write_bytes(PLAY_CONSOLE.encode("utf-16"))
    (tmp_path / "page.json").write_text(json.dumps(APP_STORE_CONNECT))
    worker = deployment.worker().ready()
    play = ("produce", "--input", "reviews_my.app_202605.csv", "--input-preset", "play-console")
    assert command(*play) == ExitCode.INPUT, "the third row has stars and no words"
    assert "row 3 (line 4): text: " in capsys.readouterr().err
    assert command("produce", "--input", "page.json", "--input-preset", "app-store-connect") == ExitCode.OK
    links = [f"https://play.google.com/r=gp-{number}" for number in (1, 2)]
    stars = {links[0]: "5", links[1]: "1", "00000000-0": "5", "00000000-1": "1"}
    worker.until(lambda: deployment.stored_ids() == {*stars}, "all are rated")
    found = {review_id: deployment.stored(review_id) for review_id in stars}
    assert {review_id: rating["rating"] for review_id, rating in found.items()} == stars
    assert (found[links[0]]["app_id"], found[links[0]]["app_version"]) == ("my.app", "1.4.2")
    assert found[links[0]]["created_at"].startswith("2026-05-02T10:00:00")
    assert found[links[1]]["author_score"] == found["00000000-1"]["author_score"] == "1.0"


def test_a_line_of_a_live_pipe_is_sent_before_the_next_one_comes(deployment: Deployment) -> None:
    worker = deployment.worker().ready()
    produce = [sys.executable, "-m", "worker", "produce", "--input", "-"]
    environ = {**os.environ, **deployment.environ}
    sent: set[str] = set()
    with subprocess.Popen(produce, env=environ, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        for number in (1, 2):
            child.stdin.write(f'{{"review_id": "r{number}", "text": "love"}}\n')
            child.stdin.flush()
            sent.add(f"r{number}")
            worker.until(lambda: deployment.stored_ids() == sent, "the line is rated")
        _, said = child.communicate()
    assert child.returncode == ExitCode.OK, said
    assert f"2 reviews sent to {deployment.input}" in said


def test_a_stopped_predict_leaves_no_half_file(tmp_path: Path) -> None:
    feed, out = tmp_path / "feed.jsonl", tmp_path / "out.jsonl"
    os.mkfifo(feed)
    out.write_text("the older output\n")
    words = ["predict", "--input", str(feed), "--output", str(out), "--registry", str(TOY_REGISTRY)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-m", "worker", *words], env=environ) as child, feed.open("w") as rows:
        rows.write('{"text": "love"}\n' * 3000)
        rows.flush()
        wait_until(lambda: any(tmp_path.glob(".out.jsonl*")), PATIENCE_S, "it writes")
        child.terminate()
        assert child.wait(PATIENCE_S) == ExitCode.INTERRUPTED
    assert sorted(path.name for path in tmp_path.iterdir()) == ["feed.jsonl", "out.jsonl"]
    assert out.read_text() == "the older output\n"


def test_a_review_that_the_brokers_refuse_costs_no_other(
    deployment: Deployment, kafka: SharedKafka, command: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = f"{deployment.input}-compacted"
    kafka.create_topics({topic: 1}, {"cleanup.policy": "compact"})
    (tmp_path / "rows.jsonl").write_text(
        '{"text": "love", "review_id": "a"}\n{"text": "no id"}\n{"text": "bad", "review_id": "b"}\n'
    )
    assert command("produce", "--input", "rows.jsonl", "--topic", topic) == ExitCode.INPUT
    said = capsys.readouterr().err
    assert "1 reviews are refused" in said
    assert f"2 reviews sent to {topic}, 0 rows are invalid" in said
    assert [record.key for record in deployment.read(topic)] == [b"a", b"b"]


def test_change_events_and_cloud_events_are_rated_and_a_deleted_row_leaves(deployment: Deployment) -> None:
    worker = deployment.worker(input_preset="debezium").ready()
    row = {"id": 7, "body": "love it", "stars": 5, "app_id": "shop"}
    cloud = {"specversion": "1.0", "id": "e1", "subject": "c1", "data": {"text": "bad"}}
    as_cloud = [("content-type", b"application/cloudevents+json")]
    deployment.produce(
        Message(json.dumps({"payload": {"op": "c", "before": None, "after": row}}).encode(), b"{}", partition=0),
        Message(json.dumps({"op": "r", "after": {**row, "id": 8}}).encode(), b"{}", partition=0),
        Message(json.dumps(cloud).encode(), None, as_cloud),
        Message(b'{"text": "bad"}', b"c2", [("ce_specversion", b"1.0"), ("ce_id", b"e2")]),
        Message(b'\xef\xbb\xbf"love"', b"\xff\x01"),
    )
    worker.until(lambda: deployment.stored_ids() == {"7", "8", "c1", "c2", "ff01"}, "all are rated")
    assert deployment.stored("7")["rating"] == deployment.stored("ff01")["rating"] == "5"
    assert deployment.stored("c1")["rating"] == "1"
    deployment.produce(
        Message(json.dumps({"op": "d", "before": {"id": 7}, "after": None}).encode(), b"{}", partition=0)
    )
    worker.until(lambda: deployment.stored_ids() == {"8", "c1", "c2", "ff01"}, "the deleted row's rating is gone")
    assert worker.total("starstream_reviews_rejected_total") == 0


def test_a_worker_that_logs_text_says_when_it_is_ready_how_fast_it_is_and_what_it_did(deployment: Deployment) -> None:
    worker = deployment.worker(log_format="text").ready()
    deployment.produce(Message(b"love"), Message(b"{"))
    worker.until(lambda: worker.total("starstream_reviews_settled_total") == 2, "both are settled")
    worker.until(lambda: " throughput " in worker.child.log_tail(99), "a line of throughput")
    assert worker.stop() == ExitCode.OK
    said = worker.child.log_tail(99)
    assert f"ready partitions=6 topics={deployment.input} model={TOY_VERSION} page=http://" in said
    assert "reviews_a_second=" in said
    assert "summary rated=1 dead_letters=1 deleted=0" in said


def test_the_programs_of_the_readme_run_as_they_stand(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    worker = deployment.worker(redis_prefix="").ready()
    programs = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    *producers, reader = (program for program in programs if "worker import" not in program)
    assert [len(re.findall("localhost", program)) for program in (*producers, reader)] == [1, 1, 1]
    ours = {
        "localhost:9092": deployment.kafka.bootstrap,
        '"reviews"': f'"{deployment.input}"',
        "redis://localhost:6379/0": str(deployment.settings["redis_url"]),
        "r-2": f"{deployment.mark}-2",
        "r-3": f"{deployment.mark}-3",
    }
    for number, program in enumerate((*producers, reader)):
        if number == len(producers):
            worker.until(lambda: worker.total("starstream_reviews_settled_total") == len(producers), "all are rated")
        for theirs, own in ours.items():
            program = program.replace(theirs, own)  # noqa: PLW2901 - the names of this test's own topics
        exec(program, {})  # noqa: S102 - the README's own lines
    stars, rest = capsys.readouterr().out.split(" ", 1)
    assert stars == "5"
    assert "'rating': '1'" in rest
    for number in (2, 3):
        deployment.redis.delete(f"rating:{{{deployment.mark}-{number}}}")


def test_the_shell_lines_of_the_readme_run_as_they_stand(deployment: Deployment) -> None:
    worker = deployment.worker(redis_prefix="").ready()
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first, second = re.findall(r"^echo .* \| kcat .*$", text, re.MULTILINE)
    (deletion,) = re.findall(r"`(echo [^`]* \| kcat [^`]*)`", text)
    (lookup,) = re.findall(r"^(redis-cli HGETALL .*?)  +#", text, re.MULTILINE)
    (reader,) = re.findall(r"^kcat -b \S+ -C -t ratings .*$", text, re.MULTILINE)
    port = str(deployment.settings["redis_url"]).rpartition(":")[2].partition("/")[0]
    ours = {
        "localhost:9092": deployment.kafka.bootstrap,
        "-t reviews": f"-t {deployment.input}",
        "-t ratings": f"-t {deployment.output} -e -q",
        "redis-cli": f"redis-cli -p {port}",
        "r-1": f"{deployment.mark}-1",
        "my-id": f"{deployment.mark}-2",
    }

    def shell(line: str) -> str:
        for theirs, own in ours.items():
            line = line.replace(theirs, own)
        return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True).stdout

    shell(first)
    shell(second)
    worker.until(lambda: worker.total("starstream_reviews_settled_total") == 2, "both are rated")
    stored = shell(lookup).splitlines()
    assert stored[stored.index("rating") + 1] == "5"
    ratings = {rating["review_id"]: rating for rating in map(json.loads, shell(reader).splitlines())}
    assert {*ratings} == {ours["r-1"], ours["my-id"]}
    assert ratings[ours["r-1"]]["author_score"] == 1
    shell(deletion)
    worker.until(lambda: not deployment.redis.exists(f"rating:{{{ours['r-1']}}}"), "the rating is gone")
    deployment.redis.delete(f"rating:{{{ours['my-id']}}}", "summary:{my.app}")
