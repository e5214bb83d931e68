"""The documents: what they link to exists, and README quotes the table of the benchmarks."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from schemas.output.rating_hash import ABSENT, hash_columns, rating_from_hash
from schemas.rating import Rating
from tests.deploy.assets import ROOT
from tests.measured import MEASURED
from trainer.collect.settings import CollectSettings
from trainer.settings import TrainSettings
from worker.model.predictor import Model
from worker.settings import WorkerSettings

ROOMS = ("worker", "trainer", "schemas", "deploy", "tests")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(path for room in ROOMS for path in (ROOT / room).rglob("*.md"))])
BENCHMARKS = ROOT / "tests/benchmarks/README.md"
each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])


def anchors(path: Path) -> set[str]:
    """A document's headings as GitHub makes links of them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_document
def test_every_link_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            name, _, anchor = target.partition("#")
            file = path.parent / name if name else path
            assert file.exists(), target
            assert not anchor or anchor in anchors(file), target


@each_document
def test_every_named_path_of_a_room_exists(path: Path) -> None:
    named = re.findall(r"`((?:worker|trainer|schemas|deploy|tests)/[\w./-]*)`", path.read_text(encoding="utf-8"))
    assert [
        name
        for name in named
        if not any((root / f"{name}{end}").exists() for root in (ROOT, path.parent) for end in ("", ".py"))
    ] == []


def test_readme_quotes_the_table_of_the_benchmarks() -> None:
    _, _, section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Measurements")
    quoted = re.findall(r"^\| `(\w+)`[^|]* \| ([\d,.]+) \| ([\d,.]+) \|$", section, re.MULTILINE)
    assert len(quoted) >= 5
    results = BENCHMARKS.read_text(encoding="utf-8")
    for row, rate, cpu in quoted:
        # name, what it is, reviews/s, the worker is so many times faster, CPU us/review
        assert re.search(rf"^\| {row} \| [^|]+ \| {rate} \| [^|]+ \| {cpu} \|", results, re.MULTILINE), row


def test_the_rating_and_the_hash_of_the_readme_are_as_they_are_written() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    content = example.replace("\n", "").encode()
    rating = Rating.from_json(content)
    assert rating.to_json() == content
    (shown,) = re.findall(r"^> HGETALL rating:\{my-id\}(.*?)^> ", text, re.MULTILINE | re.DOTALL)
    said = dict(entry.split(" ", 1) for entry in re.split(r"\s{2,}", shown.strip()))
    found = rating_from_hash(said, "my-id")
    assert (found.rating, found.source.topic, found.source.offset) == (5, "reviews", 377)
    columns = hash_columns([found], 2)
    written = {name: value if isinstance(value, bytes) else str(value).encode() for name, (value,) in columns}
    shown_values = {name: value.encode() for name, value in said.items() if name != "source"}
    assert shown_values == {name: value for name, value in written.items() if value != ABSENT.encode()}


def test_the_predictions_of_the_readme_are_the_starters() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    by_file, by_http = re.findall(r"^\$ (?:echo|curl) .*\n(\{[^}]*\})", text, re.MULTILINE)
    (prediction,) = Model.starter().rate(["love it, best app ever"])
    assert prediction is not None
    said = prediction.to_fields()
    for shown, own in (
        (json.loads(by_file), {"row", "review_id", "text"}),
        (json.loads(by_http), {"review_id", "app_id", "rated_at"}),
    ):
        assert {*shown} == {*said} | own
        figures = {name: value for name, value in said.items() if isinstance(value, float | list)}
        # Another processor may round the last digits differently.
        assert {name: shown[name] for name in figures} == {
            name: pytest.approx(figures[name], abs=1e-3) for name in figures
        }
        assert {name: shown[name] for name in said if name not in figures} == {
            name: value for name, value in said.items() if name not in figures
        }


def unheld_texts() -> dict[str, str]:
    """Descriptions of settings and the READMEs, without the tables that a command writes or that a test holds."""
    texts = {"README": (ROOT / "README.md").read_text(encoding="utf-8").partition("## Measurements")[0]}
    for room in ROOMS:
        text = (ROOT / room / "README.md").read_text(encoding="utf-8")
        texts[room] = re.sub(r"<!-- (\w+): begin -->.*?<!-- \1: end -->", "", text, flags=re.DOTALL)
    for model in (WorkerSettings, TrainSettings, CollectSettings):  # tests/unit holds the pages of help
        texts |= {f"{model.__name__}.{name}": field.description or "" for name, field in model.model_fields.items()}
    return texts


def test_a_text_that_no_table_holds_quotes_no_measured_figure() -> None:
    """README.md and the sizing are held against their tables; experiments and their figures belong to the LOGs."""
    found = {name: [match[0] for match in MEASURED.finditer(text)] for name, text in unheld_texts().items()}
    assert {name: figures for name, figures in found.items() if figures} == {}


@pytest.mark.parametrize(
    "text",
    [
        "at a quarter of the CPU of",
        "half of Redis's time",
        "two thirds of the memory",
        "three times as fast",
        "takes 1.5 times int8's",
        "rates 12,630 reviews/s",
        "66.5 us a review",
        "0.3 kB a row",
    ],
)
def test_a_measured_figure_is_recognised(text: str) -> None:
    assert MEASURED.search(text)


def test_the_example_of_a_dotenv_file_names_settings_and_their_defaults() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    given = dict(line.lstrip("#").split("=", 1) for line in lines if not line.startswith("# "))
    fields = WorkerSettings.model_fields
    names = {variable: variable.removeprefix("WORKER_").removesuffix("_FILE").lower() for variable in given}
    assert [variable for variable, name in names.items() if name not in fields] == []
    settings = WorkerSettings(_env_file=ROOT / ".env.example")
    assert settings.model_dump() == WorkerSettings(_env_file=None).model_dump()


def files_of_the_table() -> dict[str, set[str]]:
    """The files that worker's README names, by folder."""
    text = (ROOT / "worker/README.md").read_text(encoding="utf-8")
    return {
        room.strip("./"): set(re.findall(r"`([\w.]+)`", files))
        for rooms, files in re.findall(r"^\| (`[^|]+) \| [^|]+ \| ([^|]+) \|$", text, re.MULTILINE)
        for room in re.findall(r"`([\w./]+)`", rooms)
    }


def test_the_table_of_worker_names_the_files_of_each_folder() -> None:
    """Of a client's folder it names what both have, and of `commands/` what is no command."""
    found = files_of_the_table()
    assert len(found) >= 14
    for room, named in found.items():
        paths = [path for path in (ROOT / "worker" / room).iterdir() if path.suffix in {".py", ".lua"}]
        names = {path.name if path.suffix == ".lua" else path.stem for path in paths} - {"__init__", "__main__"}
        commands = {path.stem for path in (ROOT / "worker/commands").glob("*.py")} if room == "commands" else set()
        assert named - commands <= names, room
        if room not in {"kafka/python", "kafka/confluent", "commands"}:
            assert names - ({"command", "wiring"} if not room else set()) <= named, room


def test_the_readme_of_trainer_names_its_files() -> None:
    text = (ROOT / "trainer/README.md").read_text(encoding="utf-8")
    whole = set(re.findall(r"`([\w/]+)`", text))
    paths = [path.relative_to(ROOT / "trainer").with_suffix("") for path in (ROOT / "trainer").rglob("*.py")]
    short = ("registry", "collect", "commands")  # named by folder, then by file
    assert [
        path.as_posix()
        for path in paths
        if path.name != "__init__"
        and path.as_posix() not in whole
        and not (path.parent.as_posix() in short and path.name in whole)
    ] == []
