"""The figures of the starter, group by group, as its model card shows them.

Owns the groups. Of the sets it was trained on, only the reviews that its training held out; of the others, all whose
words are not among those of the training.
"""

from __future__ import annotations

import csv
import gzip
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from schemas.bundle import Bundle
from schemas.inference import Model
from tests.benchmarks.model_quality.cases import DATA
from tests.benchmarks.starter.behaviour import expected
from trainer.data.dataset import Part
from trainer.data.held_out import labelled
from trainer.evaluation.metrics import evaluate
from trainer.export.runtime import open_interpreter
from trainer.settings import EvaluateSettings, PartName

BEGIN: Final = "<!-- figures: begin, written by python -m tests.benchmarks.starter -->"
END: Final = "<!-- figures: end -->"
_COLUMNS: Final = ("accuracy", "macro_f1", "mae", "qwk", "within_one", "ece")
_FEWEST: Final = 50  # held-out reviews of a group that is shown on its own

Figures = Mapping[str, Mapping[str, float]]


def text(bundle: Bundle, found: Figures) -> str:
    """Return what the card shows, in Markdown; `found` is what `measure` returns."""
    data = bundle.manifest.data
    sides = (
        f"{data.train_rows:,} texts to learn from, {data.validation_rows:,} to choose by, {data.test_rows:,} held out"
    )
    parts = (f"Version {bundle.version}: {sides}.", table(found), films(bundle), expected(bundle))
    return "\n\n".join(parts)


def measure(bundle: Bundle) -> dict[str, dict[str, float]]:
    """Return the figures of each group, `reviews` among them."""
    model = bundle.load(open_interpreter)
    found: dict[str, dict[str, float]] = {}
    for name, part in _parts(bundle):
        if len(part.texts) >= _FEWEST:
            found[name] = {"reviews": len(part.texts), **evaluate(model, part).figures}
    return found


def table(found: Figures) -> str:
    """Return the figures in Markdown."""
    lines = ["| held-out reviews of | reviews | accuracy | macro-F1 | MAE, stars | kappa | within 1 | ECE |"]
    lines.append("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, figures in found.items():
        cells = " | ".join(f"{figures[column]:.3f}" for column in _COLUMNS)
        lines.append(f"| {name} | {figures['reviews']:,.0f} | {cells} |")
    return "\n".join(lines)


def films(bundle: Bundle) -> str:
    """Return a line on film reviews, which it was not trained on: is the expected rating on the right side of 3?"""
    rows = list(reviews_of(DATA / "imdb_test.csv.gz"))
    scores = _scored(bundle.load(open_interpreter), [row["content"] for row in rows])
    right = sum((stars > 3) == (row["score"] == "1") for stars, row in zip(scores, rows, strict=True))
    right_side = f"the expected rating is on the right side of 3 stars in {right / len(rows):.3f}"
    return f"Film reviews, which it has never seen (imdb_test, {len(rows):,}): {right_side}."


def _scored(model: Model, texts: list[str]) -> Iterator[float]:
    labels = model.decision.labels
    for start in range(0, len(texts), 1000):
        for shares in model.score(texts[start : start + 1000]).probabilities:
            yield float(sum(label * share for label, share in zip(labels, shares, strict=True)))


def _parts(bundle: Bundle) -> Iterator[tuple[str, Part]]:
    yield "all three sets", _part(bundle, [*_files()], "test")
    yield "the shop", _part(bundle, [DATA / "clothing_reviews.csv.gz"], "test")
    yield "five finance apps", _part(bundle, [DATA / "app_reviews.csv"], "test")
    for name, column in (("app_reviews.csv", "app_id"), ("other_apps.csv.gz", "group")):
        rows = list(reviews_of(DATA / name))
        for group in sorted({row[column] for row in rows}):
            yield group, _of(bundle, [row for row in rows if row[column] == group], "test")
    known = {text for file in _files() for text in (row["content"] for row in reviews_of(file))}
    never = [row for row in reviews_of(DATA / "canva_reviews.csv") if row["content"] not in known]
    yield "an app it has never seen (canva)", _of(bundle, never, "all")


def _files() -> list[Path]:
    from tests.benchmarks.starter.recipe import FILES

    return [DATA / name for name in FILES]


def _of(bundle: Bundle, rows: list[dict[str, Any]], part: PartName) -> Part:
    with tempfile.NamedTemporaryFile("w", suffix=".csv", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=["content", "score"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
        file.flush()
        return _part(bundle, [Path(file.name)], part)


def _part(bundle: Bundle, files: list[Path], part: PartName) -> Part:
    return labelled(EvaluateSettings(data=files, part=part), bundle.manifest)


def reviews_of(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a set."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        yield from csv.DictReader(file)
