"""`python -m tests.benchmarks.reasons --registry R --data F`: deletion curves, cost, and contradictions to read.

`--contradictions N` prints texts, masked, for a person to read and count; nothing else here prints any.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from time import process_time

import numpy as np
from rich.console import Console
from rich.table import Table

from schemas.bundle import read_bundle
from schemas.channels import STABLE, parse_channels
from schemas.inference import Model
from schemas.input.fields import FieldFinder
from schemas.input.files import read_rows
from schemas.input.text_files import NO_OPTIONS
from schemas.input.value import InvalidReviewError
from schemas.manifest import Manifest
from schemas.personal.mask import Masker
from schemas.reasons.explain import leave_out, strongest
from schemas.reasons.read import read
from schemas.reasons.wide import WidePart, read_wide
from schemas.review import Review
from tests.benchmarks.reasons.deletion import FEWEST_TOKENS, REMOVED, curves
from worker.model.runtime import load_runtime

REPEATS = 3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--registry", type=Path, required=True, help="a folder; its stable version is measured")
    parser.add_argument("--data", type=Path, required=True, help="held-out reviews")
    parser.add_argument("--reviews", type=int, default=2000, help="most reviews that are measured")
    parser.add_argument("--contradictions", type=int, default=0, metavar="N", help="print N flagged texts instead")
    known = parser.parse_args()
    version = parse_channels((known.registry / "channels.json").read_bytes())[STABLE]
    bundle = read_bundle(known.registry / version)
    _, interpreter_factory = load_runtime()
    model = bundle.load(interpreter_factory)
    wide = read_wide(interpreter_factory(bundle.model), model.encoder.size, len(model.decision.labels))  # type: ignore[arg-type]
    reviews = _reviews(known.data)
    console = Console(width=120, highlight=False)
    console.print(f"model {version}, {known.data.name}")
    if known.contradictions:
        _show_contradictions(console, bundle.manifest, model, reviews, known.contradictions)
        return
    _show_curves(console, model, wide, [review.text for review in reviews], known.reviews)
    _show_cost(console, model, [review.text for review in reviews][: known.reviews])


def _reviews(path: Path) -> list[Review]:
    found, finder = [], FieldFinder()
    for row in read_rows(str(path), NO_OPTIONS, max_cell_chars=200_000):
        try:
            found.append(row.review(finder, 20_000))
        except InvalidReviewError:
            continue
    return found


def _show_curves(console: Console, model: Model, wide: WidePart | None, texts: Sequence[str], most: int) -> None:
    rows = [ids for ids in model.encoder.encode_all(texts) if len(ids) >= FEWEST_TOKENS][:most]
    table = Table("words removed", *map(str, REMOVED), title=f"stars moved / probability lost, {len(rows)} reviews")
    for name, points in curves(model, wide, rows).items():
        table.add_row(name, *(f"{stars:.2f} / {drop:+.3f}" for stars, drop in points))
    console.print(table)


def _show_cost(console: Console, model: Model, texts: Sequence[str]) -> None:
    rows = model.encoder.encode_all(texts)
    scores = model.score_ids(rows)
    labels = np.asarray(model.decision.labels)
    low = labels[scores.choices] < (labels[0] + labels[-1]) / 2
    table = Table("reasons", "reviews with", "us a review, CPU", title=f"cost, {len(texts)} reviews, chunks of 256")
    for name, chosen in (("off", low & False), ("low", low), ("all", low | True)):
        taken = min(_seconds(model, texts, chosen) for _ in range(REPEATS))
        table.add_row(name, f"{chosen.mean():.0%}", f"{1e6 * taken / len(texts):.1f}")
    console.print(table)


def _seconds(model: Model, texts: Sequence[str], chosen: np.ndarray) -> float:
    """Return the time of encoding, rating and naming the words of the chosen texts, as the worker does."""
    started = process_time()
    for at in range(0, len(texts), 256):
        some = texts[at : at + 256]
        scores = model.score(some)
        picked = np.flatnonzero(chosen[at : at + 256])
        tokens = [[token for token in read(model.encoder, some[int(row)]) if token.id is not None] for row in picked]
        rows = [np.array([token.id for token in found], dtype=np.int32) for found in tokens]
        part = scores.at(picked)
        for found, (_, support) in zip(tokens, leave_out(model, rows, part), strict=True):
            strongest([token.folded for token in found], support, 3)
    return process_time() - started


def _show_contradictions(
    console: Console, manifest: Manifest, model: Model, reviews: Sequence[Review], most: int
) -> None:
    rule = manifest.mismatch
    labels = [label for label in model.decision.labels if isinstance(label, int)]
    assert rule is not None, "the bundle has no rule for contradictions"
    scored = [review for review in reviews if review.score in labels]
    scores = model.score([review.text for review in scored])
    stars = np.array([labels.index(int(review.score or 0)) for review in scored])
    flagged = np.flatnonzero(rule.contradicts(scores.probabilities, stars))
    console.print(f"{len(flagged)} of {len(scored)} flagged ({len(flagged) / len(scored):.2%})")
    masker = Masker()
    for row in flagged[:most].tolist():
        said = labels[scores.choices[row]]
        console.print(f"author {scored[row].score}, text {said}: {masker.mask(scored[row].text)}", markup=False)


if __name__ == "__main__":
    main()
