"""The documents: what they link to exists, and README quotes the table of the benchmarks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.deploy.assets import ROOT

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
