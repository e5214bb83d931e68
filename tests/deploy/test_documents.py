"""The documents: what they link to exists, and README quotes the table of the benchmarks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from schemas.output.rating_hash import ABSENT, hash_columns, rating_from_hash
from schemas.rating import Rating
from tests.deploy.assets import ROOT
from trainer.collect.settings import CollectSettings
from trainer.settings import TrainSettings
from worker.settings import WorkerSettings

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "deploy").rglob("*.md")])
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
    assert [name for name in named if not (ROOT / name).exists()] == []


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


MEASURED = re.compile(
    r"[\d.,]+ ?(?:k|M)? ?reviews (?:a|per) second|[\d.,]+ reviews/s|[\d.,]+ us (?:a|per) review"
    r"|(?:[\d.]+|two|three|four|five|ten) times (?:as|the|faster|slower)"
    r"|(?:half|third|quarter|fifth|tenth|\d+ ?%) (?:of )?the (?:CPU|memory|time|throughput)"
)


def unheld_texts() -> dict[str, str]:
    """Help texts and the rooms' READMEs, without the tables that a command writes."""
    texts = {}
    for room in ("worker", "trainer", "schemas", "deploy", "tests"):
        text = (ROOT / room / "README.md").read_text(encoding="utf-8")
        texts[room] = re.sub(r"<!-- (\w+): begin -->.*?<!-- \1: end -->", "", text, flags=re.DOTALL)
    for model in (WorkerSettings, TrainSettings, CollectSettings):
        texts |= {f"{model.__name__}.{name}": field.description or "" for name, field in model.model_fields.items()}
    return texts


def test_a_text_that_no_table_holds_quotes_no_measured_figure() -> None:
    """README.md and the sizing are held against their tables; experiments and their figures belong to the LOGs."""
    found = {name: [match[0] for match in MEASURED.finditer(text)] for name, text in unheld_texts().items()}
    assert {name: figures for name, figures in found.items() if figures} == {}


@pytest.mark.parametrize(
    "text", ["at a quarter of the CPU of", "three times as fast", "rates 12,630 reviews/s", "66.5 us a review"]
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
