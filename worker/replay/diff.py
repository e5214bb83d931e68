"""How two models' ratings of the same reviews differ: agreement, confusion, mean difference of expected stars.

Owns the arithmetic. Pure; `store` reads the pairs from Redis, `report` prints.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from schemas.output.rating_hash import LABELS, POSITION_FIELDS, position_from_hash

FIELDS: Final = ("model_version", "rating", "expected_rating", "labels", *POSITION_FIELDS)


class Side(NamedTuple):
    """One rating of a pair. `position` says which record was rated: a review may have been sent again since."""

    version: str
    rating: int | None
    expected: float | None
    position: tuple[str, str, int, int]
    labels: frozenset[str] = frozenset()


def side_of(values: list[bytes | None]) -> Side | None:
    """Read the values of `FIELDS` of a rating's hash; None when the rating is missing or incomplete."""
    texts = {
        name: value.decode("utf-8", "replace") for name, value in zip(FIELDS, values, strict=True) if value is not None
    }
    at = position_from_hash(texts)
    try:
        if at is None:
            return None
        if "labels" in texts:
            return Side(texts["model_version"], None, None, at[:4], frozenset(LABELS.validate_json(texts["labels"])))
        stars, expected = int(texts["rating"]), float(texts["expected_rating"])
        return Side(texts["model_version"], stars, expected, at[:4])
    except (KeyError, ValueError):
        return None


@dataclass(slots=True)
class PairDiff:
    """Pairs of a live rating (old) and a replay's (new). Differences are new minus old."""

    compared: int = 0
    agreed: int = 0
    difference_sum: float = 0.0
    distance_sum: float = 0.0
    stars: int = 0  # pairs that both have stars
    confusion: Counter[tuple[int, int]] = field(default_factory=Counter)  # (old, new)
    gained: Counter[str] = field(default_factory=Counter)  # labels of the new rating only
    lost: Counter[str] = field(default_factory=Counter)  # of the old one only

    def add(self, old: Side, new: Side) -> None:
        """Count a pair."""
        self.compared += 1
        self.agreed += (old.rating, old.labels) == (new.rating, new.labels)
        self.gained.update(new.labels - old.labels)
        self.lost.update(old.labels - new.labels)
        if old.rating is None or new.rating is None or old.expected is None or new.expected is None:
            return
        self.stars += 1
        self.difference_sum += new.expected - old.expected
        self.distance_sum += abs(new.expected - old.expected)
        self.confusion[old.rating, new.rating] += 1

    @property
    def agreement(self) -> float | None:
        """Share of pairs with the same stars, or all the same labels; None without pairs."""
        return self.agreed / self.compared if self.compared else None

    @property
    def mean_difference(self) -> float | None:
        """Mean of new minus old expected stars; None without pairs."""
        return self.difference_sum / self.stars if self.stars else None

    @property
    def mean_distance(self) -> float | None:
        """Mean absolute difference of the expected stars; None without pairs."""
        return self.distance_sum / self.stars if self.stars else None

    @property
    def labels(self) -> list[int]:
        """Every label that either model gave, ascending."""
        return sorted({label for pair in self.confusion for label in pair})

    def to_fields(self) -> dict[str, object]:
        """Return the figures for JSON; the confusion as `{old: {new: count}}`."""
        rows = {
            str(old): {str(new): self.confusion[old, new] for new in self.labels if self.confusion[old, new]}
            for old in self.labels
        }
        return {
            "compared": self.compared,
            "agreement": self.agreement,
            "mean_expected_difference": self.mean_difference,
            "mean_expected_distance": self.mean_distance,
            "confusion": {old: row for old, row in rows.items() if row},
            **(
                {"labels_gained": dict(self.gained), "labels_lost": dict(self.lost)} if self.gained or self.lost else {}
            ),
        }


@dataclass(slots=True)
class Diff:
    """The replay's ratings compared with the live ones."""

    total: PairDiff = field(default_factory=PairDiff)  # pairs that rate the same record
    by_version: dict[str, PairDiff] = field(default_factory=dict)  # the same pairs, by the live rating's model
    not_live: int = 0  # reviews without a live rating (it expired, or the review was deleted)
    moved_on: int = 0  # reviews that were sent again since, so that the live rating is of another record
    others: int = 0  # ratings of another model under the prefix; left out

    def add(self, new: Side, live: Side | None) -> None:
        """Count a rating of the replay's model and the live rating of the same review."""
        if live is None:
            self.not_live += 1
        elif live.position != new.position:
            self.moved_on += 1
        else:
            self.total.add(live, new)
            self.by_version.setdefault(live.version, PairDiff()).add(live, new)

    def to_fields(self) -> Mapping[str, object]:
        """Return the figures for JSON."""
        return {
            **self.total.to_fields(),
            "not_live": self.not_live,
            "moved_on": self.moved_on,
            "other_models": self.others,
            "by_live_version": {version: diff.to_fields() for version, diff in sorted(self.by_version.items())},
        }
