"""The first hour's mistakes: wrong values of a feed, and wrong command lines, each with its answer word for word.

The answers are in `tests/golden/first_hour.txt`, to be read as a newcomer would read them. After a change on purpose:
`python -m pytest tests/unit/test_first_hour.py` fails, and leaves the new answers in the file that it names.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from schemas.input.value import InvalidReviewError
from schemas.review import deleted_id, parse_review, review_id_of
from tests.conftest import ROOT, TOY_REGISTRY
from trainer.__main__ import main as trainer
from worker.__main__ import main as worker

GOLDEN = ROOT / "tests" / "golden" / "first_hour.txt"

VALUES: dict[str, bytes] = {
    "nothing": b"",
    "blanks": b" \n\t",
    "zero-width characters": "\u200b\ufeff\u3164".encode(),
    "UTF-16": "good app".encode("utf-16"),
    "Latin-1": "café".encode("latin-1"),
    "a picture": b"\x89PNG\r\n\x1a\n\x00\x00",
    "Avro of a schema registry": b"\x00\x00\x00\x00\x2a\x02\x08good",
    "an array": b'[{"text": "good"}]',
    "null": b"null",
    "a literal": b"true",
    "XML": b"<review><text>good</text></review>",
    "half an object": b'{"text": "good"',
    "an object, then more": b'{"text": "good"}{"text": "bad"}',
    "single quotes": b"{'text': 'good'}",
    "another field's name": b'{"comment": "it is good", "grade": 5}',
    "a field inside fields": b'{"data": {"attributes": {"comment": "it is good"}}}',
    "no field": b"{}",
    "no text, but words as a name": b'{"it is good, really very good, and I mean it": 1}',
    "a number for the text": b'{"text": 5}',
    "a list for the text": b'{"text": ["good"]}',
    "null for the text": b'{"text": null}',
    "a null byte": b'{"text": "go\\u0000od"}',
    "a text that is too long": json.dumps({"text": "x" * 20_001}).encode(),
    "an id that is too long": json.dumps({"text": "good", "review_id": "x" * 257}).encode(),
    "a null byte in the id": b'{"text": "good", "review_id": "r\\u0000"}',
}

COMMANDS = """
worker rum
worker run --kafka-bootstrap-server kafka:9092
worker run --batch-reviews many
worker run --batch-reviews 0
worker run --input-preset trustpilots
worker run --text-field title++body
worker run --linger-s soon
worker run --linger-s
worker run --redis-summary=yes
worker run --channel
worker run now
worker run --output-topic reviews
worker predict
worker predict ok.csv --input none.csv
worker predict --input none.csv
worker predict --input folder
worker predict --input reviews.xlsx
worker predict --input empty.csv
worker predict --input columns.csv
worker predict --input columns.csv --text-field comment
worker predict --input open.csv
worker predict --input ok.csv --output ok.csv
worker predict --input ok.csv --output none/out.csv
worker predict --input ok.csv --encoding klingon
worker predict --input ok.csv --registry folder --starter off
worker predict --input ok.csv --channel candidte
worker produce --input ok.csv --rate -1
worker produce --input ok.csv --input-format json_schema
worker get
worker get --id r-1 --redis-url http://localhost
worker dlq lst
worker dlq list --reason notjson
worker dlq list --limit some
worker completion tcsh
worker dlq show 5
worker dlq redrive
worker replay --from yesterday --version v --topic-out t --redis-prefix p:
trainer tain
trainer train
trainer train --data none.csv
trainer train --data columns.csv
trainer train --data scores.csv
trainer train --data open.csv
trainer train --data rated.csv
trainer train --data ok.csv --cell rnn
trainer train --data ok.csv --delimiter ;;
trainer show --registry folder --version stable
trainer promote --channel stabel
trainer collect --bootstrap-servers kafka:9092 --out x.csv --since soon
"""


def refusal(value: bytes) -> str:
    try:
        review_id_of(parse_review(value), b"key", "reviews", 0, 0)
    except InvalidReviewError as error:
        return f"{error.reason}: {error}"
    return "rated"


def make_files() -> None:
    Path("folder").mkdir()
    for name, content in {
        "ok.csv": "text\nlove\n",
        "empty.csv": "",
        "reviews.xlsx": "PK",
        "columns.csv": "a,b\n1,2\n",
        "open.csv": 'text,score\nfine,3\n"open,4\nmore,5\n',
        "scores.csv": "text,score\nlove,9\nbad,x\n",
        "rated.csv": "text,rating,expected_rating,model_version\nlove,5,4.9,v\n",
    }.items():
        Path(name).write_text(content)


def answer(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the last line that a command prints, and its exit code."""
    program, *words = shlex.split(line)
    alone = words[0] in {"rum", "tain", "collect", "completion"} or words[-1].startswith("--")
    registry = [] if alone or "--registry" in words else ["--registry", str(TOY_REGISTRY)]
    try:
        code = int((worker if program == "worker" else trainer)([*words, *registry]))
    except SystemExit as stop:
        code = int(stop.code or 0)
    said = capsys.readouterr().err.strip().splitlines() or [""]
    return f"{said[-1].replace(str(TOY_REGISTRY), 'models')}  [{code}]"


@pytest.mark.usefixtures("clean_environment")
def test_every_mistake_of_the_first_hour_has_its_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_files()
    answers = [f"{name}\n    {refusal(value)}" for name, value in VALUES.items()]
    with pytest.raises(InvalidReviewError) as tombstone:
        deleted_id(None)
    answers.append(f"a null value without a key\n    {tombstone.value.reason}: {tombstone.value}")
    answers += [f"$ starstream-{line}\n    {answer(line, capsys)}" for line in COMMANDS.split("\n") if line]
    found = "\n".join(answers) + "\n"
    (tmp_path / GOLDEN.name).write_text(found)
    assert found == GOLDEN.read_text(encoding="utf-8"), f"the answers are now in {tmp_path / GOLDEN.name}"
