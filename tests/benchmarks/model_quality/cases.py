"""What is measured: the data sets, and for each question the cases that answer it.

Owns the list. A case is the trainer's command with a few flags. Each seed has its own split, initial weights and
order, so the spread covers all three.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT.parent / "shared" / "data"
UNLABELLED = "unlabelled_reviews.csv.gz"
SAMPLE = "sample.csv"  # of `trainer sample`; not among the data sets, so it is written when it is needed


@dataclass(frozen=True, slots=True)
class Case:
    """One training run."""

    question: str  # the table it belongs to
    reviews: str  # the data set
    name: str  # the row
    seed: int  # of the split, the weights and the order
    files: tuple[str, ...]  # its input, inside the data folder
    flags: tuple[str, ...]  # of `starstream-trainer train`, after those for the files

    @property
    def title(self) -> str:
        """One line that names the case."""
        return f"{self.reviews} / {self.name} / seed {self.seed}"


SETS: dict[str, tuple[tuple[str, str], ...]] = {
    "app_reviews": (("--data", "app_reviews.csv"), ("--unlabelled", UNLABELLED)),
    "clothing": (("--data", "clothing_reviews.csv.gz"),),
    "imdb": (("--data", "imdb_train.csv.gz"), ("--test-data", "imdb_test.csv.gz")),
    "canva": (("--data", "canva_reviews.csv"), ("--unlabelled", UNLABELLED)),
    "goemotions": (
        ("--data", "goemotions_train.csv.gz"),
        ("--data", "goemotions_dev.csv.gz"),
        ("--test-data", "goemotions_test.csv.gz"),
    ),
    "sample": (("--data", SAMPLE),),
}
LABELS = "labels"  # the question of the sets of named labels
LABEL_SETS = ("goemotions",)
LEFT_OUT, PEOPLE = "each app left out", "people"
# The same model of a "default" row is also judged on these: set -> file of other apps, the column of its groups.
ELSEWHERE = {"app_reviews": ("other_apps.csv.gz", "group")}
APPS = ("me.greenlight", "in.junio", "akudo.technologies", "com.sm.mahilamoney", "com.instantpay.in")  # of app_reviews
_STAR_SETS = tuple(name for name in SETS if name not in (*LABEL_SETS, "sample"))

# Question -> (sets, rows: name -> flags).
QUESTIONS: dict[str, tuple[tuple[str, ...], dict[str, tuple[str, ...]]]] = {
    "default": (_STAR_SETS, {"default": ()}),
    LABELS: (LABEL_SETS, {"labels": ("--task", "labels")}),
    LEFT_OUT: (("app_reviews",), dict.fromkeys(APPS, ())),
    PEOPLE: (("sample",), {"default": ()}),
    "direction": (_STAR_SETS, {"two directions": ("--bidirectional",)}),
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


def cases(sets: list[str], questions: list[str], seeds: list[int], names: Sequence[str] = ()) -> list[Case]:
    """Return the cases in the order they are run: the default of every set first, seed by seed; all rows by default."""
    found = []
    for question in questions:
        its_sets, rows = QUESTIONS[question]
        for reviews in (name for name in its_sets if name in sets):
            files = tuple(name for _, name in SETS[reviews])
            for name, flags in rows.items():
                if names and name not in names:
                    continue
                found += [Case(question, reviews, name, seed, files, (*flags, "--seed", str(seed))) for seed in seeds]
    return found
