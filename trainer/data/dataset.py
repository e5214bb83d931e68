"""Labelled reviews in memory, split so that no text is on two sides.

Owns the label set and the skipping of bad rows. Never reads files itself (`rows` does), and `split` says which side a
review is on. `text.vocabulary` is next.

Memory: every text once, its label (8 bytes) and the hash of its folded form (8 bytes): about 0.3 kB a row of app
reviews, 0.3 GB for a million. The files are streamed. Unlabelled texts: at most `unlabelled_rows`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.label_decision import MOST_LABELS
from schemas.manifest import DataFingerprint
from trainer.data.rows import BadRow, Label, Row, RowRules, read_rows
from trainer.data.split import TEST, TRAIN, VALIDATION, assign, group
from trainer.data.targets import Names, Targets, is_named, label_counts, values_of
from trainer.errors import DataError
from trainer.settings import DataSettings

MIN_ROWS = 50
FIRST_BAD_ROWS = 5

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Part:
    """One side of the split: texts, what each one's author said of it, and the group it belongs to."""

    texts: list[str]
    targets: Targets
    groups: list[str] = field(default_factory=list)  # what each text reviews, "" when unknown; or empty

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True, slots=True)
class Reviews:
    """Reviews as read: texts, labels, `uint64[N]` hashes of the folded texts, what they review, and the bad rows."""

    texts: list[str]
    labels: list[Label]
    folds: npt.NDArray[np.uint64]
    groups: list[str]
    bad: list[BadRow]
    bad_count: int


@dataclass(frozen=True, slots=True)
class Dataset:
    """The three sides of a training run. `labels` are ascending."""

    labels: Names
    train: Part
    validation: Part
    test: Part
    fingerprint: DataFingerprint
    bad: list[BadRow] = field(default_factory=list)
    bad_count: int = 0
    dropped: int = 0
    rare: dict[str, int] = field(default_factory=dict)  # labels with too few rows, which were left out

    @property
    def sides(self) -> tuple[Part, Part, Part]:
        """Training, validation and test."""
        return self.train, self.validation, self.test

    def part(self, name: str) -> Part:
        """Return `train`, `validation` or `test`."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]


def load(settings: DataSettings, seed: int) -> Dataset:
    """Read, check and split.

    With `test_data` the test side is those files, and their texts are removed from the other sides.

    Raises:
        DataError: a file or too many of its rows cannot be used, or the rest is too little for training.
    """
    reviews = read(settings)
    official = read(settings, settings.test_data) if settings.test_data else None
    labels, rare = label_set(reviews.labels, settings)
    _check(reviews, labels, settings)
    test_share = settings.test_share if official is None else 0.0
    sides = assign(reviews.folds, seed, settings.validation_share, test_share, reviews.labels)
    dropped = 0
    if official is not None:
        seen = np.isin(reviews.folds, official.folds)
        dropped = int(seen.sum())
        sides[seen] = -1
    train, validation, test = (
        part_of(reviews, labels, np.flatnonzero(sides == side)) for side in (TRAIN, VALIDATION, TEST)
    )
    if official is not None:
        _refuse_new_labels(official, [*labels, *rare])
        test = part_of(official, labels, np.arange(len(official.texts)))
    dataset = Dataset(
        labels=labels,
        train=train,
        validation=validation,
        test=test,
        fingerprint=_fingerprint(settings, [reviews, *([official] if official else [])], (train, validation, test)),
        bad=reviews.bad + (official.bad if official else []),
        bad_count=reviews.bad_count + (official.bad_count if official else 0),
        dropped=dropped,
        rare=rare,
    )
    _check_sides(dataset)
    return dataset


def read(settings: DataSettings, paths: Sequence[Path] = ()) -> Reviews:
    """Read files (default: `settings.data`) into memory; bad rows are left out, or an error with `on_bad_row=error`.

    Raises:
        DataError: a bad row with `on_bad_row=error`, or more than `max_bad_share` of the rows are bad.
    """
    texts: list[str] = []
    labels: list[Label] = []
    folds: list[int] = []
    groups: list[str] = []
    bad: list[BadRow] = []
    bad_count = 0
    for row in _rows(paths or settings.data, settings):
        if isinstance(row, BadRow):
            if settings.on_bad_row == "error":
                raise DataError(f"{row}; correct it, or pass --on-bad-row skip")
            bad_count += 1
            if len(bad) < FIRST_BAD_ROWS:
                bad.append(row)
        else:
            texts.append(row.text)
            labels.append(row.label)
            folds.append(group(row.text))
            groups.append(row.group)
    total = len(texts) + bad_count
    if bad_count > settings.max_bad_share * total:
        raise DataError(
            f"{bad_count} of {total} rows are bad, more than --max-bad-share {settings.max_bad_share:g}; "
            f"the first: {'; '.join(map(str, bad[:3]))}"
        )
    return Reviews(texts, labels, np.array(folds, dtype=np.uint64), groups, bad, bad_count)


def unlabelled(settings: DataSettings, dataset: Dataset) -> list[str]:
    """Return the texts of `settings.unlabelled`, each folded text once, at most `unlabelled_rows`.

    A text whose folded form is on the validation or the test side is left out, so nothing is learned from held-out
    texts. Bad rows are skipped: they have no label to lose.

    Raises:
        DataError: a file cannot be read.
    """
    if not settings.unlabelled:
        return []
    seen = {group(text) for part in (dataset.validation, dataset.test) for text in part.texts}
    rules = RowRules(settings.field_paths, labelled=False, how=settings.file_options)
    found: list[str] = []
    for path in settings.unlabelled:
        for row in read_rows(path, rules):
            if isinstance(row, BadRow) or (folded := group(row.text)) in seen:
                continue
            seen.add(folded)
            found.append(row.text)
            if len(found) == settings.unlabelled_rows:
                return found
    return found


def _rows(paths: Sequence[Path], settings: DataSettings) -> Iterator[Row | BadRow]:
    rules = RowRules(
        settings.label_paths,
        frozenset(settings.allowed),
        how=settings.file_options,
        task=settings.task,
        label_columns=tuple(settings.label_columns),
    )
    for path in paths:
        yield from read_rows(path, rules)


def part_of(reviews: Reviews, labels: Names, rows: Indices) -> Part:
    """Return some of the reviews, `rows` `intp[n]`, with their labels as the targets of a model of `labels`."""
    index: dict[Any, int] = {label: at for at, label in enumerate(labels)}
    texts, groups = [reviews.texts[row] for row in rows], [reviews.groups[row] for row in rows]
    if not is_named(labels):
        return Part(texts, np.array([index[reviews.labels[row]] for row in rows], dtype=np.intp), groups)
    targets = np.zeros((len(rows), len(labels)), dtype=np.bool_)
    for at, row in enumerate(rows):
        for name in values_of(reviews.labels[row]):
            if name in index:  # a rare one was left out
                targets[at, index[name]] = True
    return Part(texts, targets, groups)


def label_set(found: Sequence[Label], settings: DataSettings) -> tuple[Names, dict[str, int]]:
    """Return the labels to learn, ascending; and names that have too few rows, which are left out, with these."""
    if settings.task == "stars":
        return sorted({label for label in found if isinstance(label, int)}), {}
    counts = label_counts(found)
    rare = {str(name): count for name, count in counts.items() if count < settings.min_label_rows}
    return sorted(str(name) for name in counts if name not in rare), rare


def _check(reviews: Reviews, labels: Names, settings: DataSettings) -> None:
    files = ", ".join(path.name for path in settings.data)
    if len(reviews.texts) < MIN_ROWS:
        raise DataError(f"{files}: {len(reviews.texts)} usable rows; training needs at least {MIN_ROWS}")
    counts = label_counts(reviews.labels)
    if settings.task == "labels":
        if not 1 <= len(labels) <= MOST_LABELS:
            raise DataError(
                f"{files}: {len(labels)} labels have {settings.min_label_rows} rows or more; training needs 1 to "
                f"{MOST_LABELS}: is --labels-field right? --min-label-rows leaves rare ones out"
            )
        return
    if len(labels) == 1:
        raise DataError(f"{files}: every row has the score {labels[0]}; training needs at least two")
    rare = [label for label in labels if counts[label] < settings.min_label_rows]
    if rare:
        raise DataError(
            f"{files}: only {counts[rare[0]]} rows have the score {rare[0]}, a label needs {settings.min_label_rows}; "
            f"is it out of range? The labels are {_counted(counts)}; --labels 1 --labels 2 ... names the right ones"
        )


def _check_sides(dataset: Dataset) -> None:
    for name in ("validation", "test"):
        if not len(dataset.part(name)):
            raise DataError(f"no rows for {name}: too few different texts; add data or raise --{name}-share")
    targets = dataset.train.targets
    learned = np.flatnonzero(targets.any(axis=0)) if targets.ndim == 2 else np.unique(targets)
    missing = [label for at, label in enumerate(dataset.labels) if at not in learned]
    if missing:
        raise DataError(f"label {missing[0]}: no rows are left for training; add data or try another --seed")


def _refuse_new_labels(official: Reviews, labels: Sequence[int | str]) -> None:
    new = sorted(map(str, set(label_counts(official.labels)) - set(labels)))
    if new:
        raise DataError(f"--test-data has the label {new[0]}, which --data does not have")


def _fingerprint(settings: DataSettings, read_in: Sequence[Reviews], sides: tuple[Part, Part, Part]) -> DataFingerprint:
    counts = label_counts(label for reviews in read_in for label in reviews.labels)
    rows = sum(len(reviews.texts) for reviews in read_in)
    distinct = len(np.unique(np.concatenate([reviews.folds for reviews in read_in])))
    return DataFingerprint(
        files={path.name: _sha256(path) for path in (*settings.data, *settings.test_data, *settings.unlabelled)},
        rows=rows,
        train_rows=len(sides[0]),
        validation_rows=len(sides[1]),
        test_rows=len(sides[2]),
        duplicate_rows=rows - distinct,
        label_counts={str(label): counts[label] for label in _ascending(counts)},
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _counted(counts: Counter[int | str]) -> str:
    return ", ".join(f"{label} ({counts[label]} rows)" for label in _ascending(counts))


def _ascending(counts: Counter[int | str]) -> list[int | str]:
    return sorted(counts, key=lambda label: (str(label), 0) if isinstance(label, str) else ("", label))
