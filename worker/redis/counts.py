"""How many reviews were rated how: by stars, and of a label model by label. Summaries and trends are made of these.

Owns the names under which `write.lua` counts: stars as they are; `labels` for each review that a label model rated, and
the label with a # before it for each label that it gave. A review may have several labels, or none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.rating import LABELS

CELL: Final = r"-?[0-9]{1,9}|labels|#[^:]{1,64}"
_LABEL: Final = "#"
_CELL: Final = re.compile(CELL)
_REVIEWS: Final = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Counts:
    """Counted reviews."""

    stars: Mapping[int, int] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)
    labelled: int = 0  # reviews that a label model rated

    @property
    def count(self) -> int:
        """How many reviews."""
        return sum(self.stars.values()) + self.labelled

    @property
    def sum(self) -> int:
        """Their stars, added up."""
        return sum(star * count for star, count in self.stars.items())

    @property
    def mean(self) -> float | None:
        """The mean of the stars; None where no review has stars."""
        return self.sum / sum(self.stars.values()) if self.stars else None

    def to_fields(self) -> dict[str, Any]:
        """Return the fields as JSON has them; `labels` only where a label model rated."""
        mean = self.mean
        found: dict[str, Any] = {
            "count": self.count,
            "mean": None if mean is None else round(mean, 4),
            "stars": {str(star): count for star, count in sorted(self.stars.items())},
        }
        if self.labelled:
            found["labels"] = dict(sorted(self.labels.items(), key=lambda item: (-item[1], item[0])))
        return found


def counts_of(cells: Mapping[int | str, int]) -> Counts:
    """Return what the cells of one summary or row say; cells that are not positive have no reviews."""
    kept = {cell: count for cell, count in cells.items() if count > 0}
    return Counts(
        {cell: count for cell, count in kept.items() if isinstance(cell, int)},
        {cell[1:]: count for cell, count in kept.items() if isinstance(cell, str) and cell != LABELS},
        kept.get(LABELS, 0),
    )


def read_cell(name: str) -> int | str:
    """Return stars as a number, and another cell as it is."""
    return name if name == LABELS or name.startswith(_LABEL) else int(name)


def summary_cells(fields: Mapping[str, str]) -> Counter[int | str]:
    """Return the cells of a summary's hash, `count:<cell>`; other fields are sums of them, or not ours."""
    found: Counter[int | str] = Counter()
    for name, count in fields.items():
        cell = name.removeprefix("count:")
        if cell != name and _CELL.fullmatch(cell) and _REVIEWS.fullmatch(count):
            found[read_cell(cell)] = int(count)
    return found
