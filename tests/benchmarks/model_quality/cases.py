"""What is measured: the sets, and for each question the cases that answer it.

Owns the list. A case is the trainer's own command with a few flags; every seed is another split, other weights and
another order, so the spread is of all three.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT.parent / "shared" / "data"
UNLABELLED = "unlabelled_reviews.csv.gz"


@dataclass(frozen=True, slots=True)
class Case:
    """One training run.

    Attributes:
        question: the part of the table it belongs to.
        reviews: the set.
        name: the row.
        seed: of the split, the weights and the order.
        files: what it reads, inside the data folder.
        flags: of `python -m trainer train`, behind those for the files.
    """

    question: str
    reviews: str
    name: str
    seed: int
    files: tuple[str, ...]
    flags: tuple[str, ...]

    @property
    def title(self) -> str:
        """One line that names the case."""
        return f"{self.reviews} / {self.name} / seed {self.seed}"


SETS: dict[str, tuple[tuple[str, str], ...]] = {
    "app_reviews": (("--data", "app_reviews.csv"), ("--unlabelled", UNLABELLED)),
    "clothing": (("--data", "clothing_reviews.csv.gz"),),
    "imdb": (("--data", "imdb_train.csv.gz"), ("--test-data", "imdb_test.csv.gz")),
    "canva": (("--data", "canva_reviews.csv"), ("--unlabelled", UNLABELLED)),
}

# Question -> (sets it is asked of, rows: name -> flags).
QUESTIONS: dict[str, tuple[tuple[str, ...], dict[str, tuple[str, ...]]]] = {
    "default": (tuple(SETS), {"default": ()}),
    "direction": (tuple(SETS), {"two directions": ("--bidirectional",)}),
    "cell": (("app_reviews", "clothing"), {"lstm": ("--cell", "lstm")}),
    "preprocess": (
        ("app_reviews",),
        {
            "lemmas": ("--normalise", "lemma"),
            "stems": ("--normalise", "stem"),
            "no stop words": ("--stop-words",),
            "elongations kept": ("--no-squeeze",),
            "unknown words hashed": ("--unknown-buckets", "512"),
        },
    ),
    "imbalance": (
        ("app_reviews",),
        {"class weights": ("--imbalance", "weights"), "resampling": ("--imbalance", "resample")},
    ),
    "parts": (
        ("app_reviews",),
        {
            "no wide part": ("--no-wide",),
            "no word vectors": ("--no-vectors",),
            "cross-entropy only": ("--loss", "cross-entropy"),
            "likeliest star": ("--decide", "likeliest"),
            "median star": ("--decide", "median"),
        },
    ),
}


def cases(sets: list[str], questions: list[str], seeds: list[int]) -> list[Case]:
    """Return the cases in the order they are run: the default of every set first, seed by seed."""
    found = []
    for question in questions:
        asked_of, rows = QUESTIONS[question]
        for reviews in (name for name in asked_of if name in sets):
            files = SETS[reviews]
            for name, flags in rows.items():
                found += [_case(question, reviews, name, seed, (files, flags)) for seed in seeds]
    return found


def _case(
    question: str, reviews: str, name: str, seed: int, given: tuple[tuple[tuple[str, str], ...], tuple[str, ...]]
) -> Case:
    files, flags = given
    return Case(question, reviews, name, seed, tuple(name for _, name in files), (*flags, "--seed", str(seed)))
