"""Synthetic reviews: a few words a star, so that a tiny network learns them in seconds."""

from __future__ import annotations

import csv
import random
from pathlib import Path

WORDS = {
    1: ("terrible", "broken", "worst", "useless"),
    2: ("poor", "slow", "annoying", "buggy"),
    3: ("average", "okay", "middling", "fine"),
    4: ("nice", "good", "pleasant", "handy"),
    5: ("love", "perfect", "best", "wonderful"),
}
FILLERS = ("app", "the", "it", "is", "screen", "today", "really", "this", "update", "phone", "my", "and", "so", "page")


def synthetic(rows: int, *, seed: int = 0, labels: tuple[int, ...] = (1, 2, 3, 4, 5)) -> list[tuple[str, int]]:
    """Return `rows` reviews, labels in turn, every text different."""
    draw = random.Random(seed)  # noqa: S311 - words, not secrets
    found = []
    for number in range(rows):
        label = labels[number % len(labels)]
        words = [*draw.sample(FILLERS, draw.randint(2, 9)), *draw.sample(WORDS[label], draw.randint(1, 2))]
        draw.shuffle(words)
        found.append((f"{' '.join(words)} n{number}", label))
    return found


def write_csv(path: Path, rows: list[tuple[str, int]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("content", "score"))
        writer.writerows(rows)
    return path
