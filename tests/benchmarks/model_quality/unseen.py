"""What a model says of texts that its own set does not hold out: other apps, an app left out, sentences of people.

Owns these three judgements, made while the trained version is still there. `runs` keeps them, `unseen_table` shows
them.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.bundle import read_bundle
from schemas.inference import Model
from tests.benchmarks.model_quality.cases import ELSEWHERE, LEFT_OUT, PEOPLE, SETS, Case
from trainer.data.dataset import Part, load, part_of, read
from trainer.data.sample import mean_ratings
from trainer.evaluation.baselines import tfidf_probabilities
from trainer.evaluation.metrics import figures
from trainer.export.runtime import open_interpreter
from trainer.settings import DataSettings, cache_folder

Found = dict[str, Any]
PathOf = Callable[[str], Path]

_REST, _LEFT = "rest.csv", "left.csv"
_APP = "app_id"


def input_of(case: Case, folder: Path, path_of: PathOf) -> list[tuple[str, Path]]:
    """Return the flags and files that the case is trained on; an app that is left out is taken out of its set."""
    given = [(flag, path_of(name)) for flag, name in SETS[case.reviews]]
    if case.question != LEFT_OUT:
        return given
    # Without texts of the stream: they would hold the words of the app that is left out.
    (data,) = [path for flag, path in given if flag == "--data"]
    with data.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for name, kept in ((_REST, False), (_LEFT, True)):
        _write(folder / name, [row for row in rows if (row[_APP] == case.name) is kept])
    return [("--data", folder / _REST)]


def judged(case: Case, version: Path, folder: Path, path_of: PathOf) -> Found:
    """Return what the case's question asks of texts besides its test side; nothing for most questions."""
    if case.question == LEFT_OUT:
        return {"left_out": _left_out(case, _model(version), folder)}
    if case.question == PEOPLE:
        return {"people": _people(case, _model(version), path_of)}
    if case.question == "default" and case.reviews in ELSEWHERE:
        return {"elsewhere": _elsewhere(case, _model(version), path_of)}
    return {}


def _left_out(case: Case, model: Model, folder: Path) -> dict[str, list[int]]:
    part = _part(folder / _LEFT, model)
    train = load(DataSettings(data=[folder / _REST]), case.seed).train
    return {
        "targets": part.targets.tolist(),
        "model": model.score(part.texts).choices.tolist(),
        "baseline": tfidf_probabilities(train, part.texts).argmax(axis=1).tolist(),
    }


def _elsewhere(case: Case, model: Model, path_of: PathOf) -> dict[str, dict[str, Any]]:
    name, column = ELSEWHERE[case.reviews]
    part = _part(path_of(name), model, column)
    data = [path_of(file) for flag, file in SETS[case.reviews] if flag == "--data"]
    train = load(DataSettings(data=data), case.seed).train
    choices = {
        "baseline": tfidf_probabilities(train, part.texts).argmax(axis=1),
        "model": model.score(part.texts).choices,
    }
    groups = np.array(part.groups)
    return {
        group: {
            "reviews": int((groups == group).sum()),
            **{who: _figures(model, part, says, groups == group) for who, says in choices.items()},
        }
        for group in sorted({*part.groups})
    }


def _people(case: Case, model: Model, path_of: PathOf) -> dict[str, dict[str, float]]:
    """Return the correlation of the expected rating with the people's mean, for each kind of held-out sentence."""
    (data,) = [path_of(name) for name in case.files]
    held_out = {*load(DataSettings(data=[data]), case.seed).test.texts}
    means = mean_ratings(cache_folder())
    found: dict[str, list[tuple[str, float]]] = {}
    for row in _rows(data):
        if row["content"] in held_out:
            found.setdefault(row[_APP], []).append((row["content"], means[row["review_id"]]))
    return {
        kind: {"sentences": len(pairs), "correlation": _correlation(model, pairs)}
        for kind, pairs in sorted(found.items())
    }


def _correlation(model: Model, pairs: Sequence[tuple[str, float]]) -> float:
    expected = model.score([text for text, _ in pairs]).expected
    assert expected is not None, "a model of stars"
    return float(np.corrcoef(expected, [mean for _, mean in pairs])[0, 1])


def _figures(model: Model, part: Part, choices: npt.NDArray[np.intp], inside: npt.NDArray[np.bool_]) -> Found:
    labels = [label for label in model.decision.labels if isinstance(label, int)]
    return figures(part.targets[inside], choices[inside], labels)


def _part(path: Path, model: Model, group: str | None = None) -> Part:
    labels = model.decision.labels
    settings = DataSettings(data=[path], labels=[str(label) for label in labels], group_field=group)
    reviews = read(settings)
    return part_of(reviews, labels, np.arange(len(reviews.texts)))


def _model(version: Path) -> Model:
    return read_bundle(version).load(open_interpreter)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _write(path: Path, rows: Sequence[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=[*rows[0]])
        writer.writeheader()
        writer.writerows(rows)
