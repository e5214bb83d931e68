"""The demo's second model: trained from the starter on the sample, compared by the gate, shown beside the serving one.

Owns the training's flags and the table of both. The channel `candidate` points at it; `stable` does not move.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from schemas.channels import CANDIDATE, CHANNELS_FILE, STABLE, parse_channels
from trainer.errors import Exit
from worker import Model

_STARS: Final = 5


def train_candidate(console: Console, registry: Path, sample: Path) -> None:
    """Train it, unless the registry has one.

    Raises:
        CalledProcessError: the training failed; a refusal by the gate is no failure.
    """
    console.rule("5. train a candidate from the serving model, on the sample")
    if CANDIDATE in parse_channels((registry / CHANNELS_FILE).read_bytes()):
        console.print(f"uses the candidate in {registry}/; `rm -r {registry}` to begin again")
        return
    words = ("train", str(sample), "--registry", str(registry), "--warm-start", STABLE, "--channel", CANDIDATE)
    done = subprocess.run([sys.executable, "-m", "trainer", *words, "--message", "the demo"], check=False)
    if done.returncode not in {Exit.OK, Exit.GATE}:
        done.check_returncode()


def show_both(console: Console, registry: Path, texts: list[str]) -> None:
    """Print what both models say of the texts; nothing when the gate let no candidate through."""
    channels = parse_channels((registry / CHANNELS_FILE).read_bytes())
    if CANDIDATE not in channels:
        console.print("the gate refused the candidate: the serving model stays")
        return
    table = Table("review", f"{STABLE} (serves)", CANDIDATE, title="both models", title_justify="left")
    answers = [Model.open(registry, channels[name]).rate(texts) for name in (STABLE, CANDIDATE)]
    for text, *found in zip(texts, *answers, strict=True):
        cells = (f"{stars(said.rating)} {said.confidence:.2f}" if said else "" for said in found)
        table.add_row(text, *cells)
    console.print(table)
    console.print(
        f"{STABLE} did not move. To let the candidate serve: starstream-trainer promote --registry {registry}; "
        "`make demo-refresh` shows that while a stream runs",
        highlight=False,
        soft_wrap=True,
    )


def stars(rating: int) -> str:
    """Return a rating as stars."""
    return "★" * rating + "☆" * (_STARS - rating)
