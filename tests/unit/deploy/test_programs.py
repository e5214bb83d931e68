"""The programs of a checkout have the command line of the product: examples first, the nearest name for a mistake."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT


def asked(program: str, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", program, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("program", "mistake", "answer"),
    [
        ("schemas", "exprt", "exprt: no such command; did you mean export?"),
        ("deploy.kafka", "--prot", "--prot: no such flag; did you mean --port?"),
        ("deploy.demo", "--kep", "--kep: no such flag; did you mean --keep?"),
        ("deploy.demo.refresh", "--hlep", "--hlep: no such flag; did you mean --help?"),
        ("deploy.grafana", "--wirte", "--wirte: no such flag; did you mean --write?"),
        ("deploy.release", "bild", "bild: no such command; did you mean build?"),
    ],
)
def test_a_program_of_the_checkout_has_examples_and_names_the_nearest(program: str, mistake: str, answer: str) -> None:
    code, said = asked(program, "--help")
    assert code == 0
    assert said.startswith(f"Usage: python -m {program} ")
    assert f"\nExamples:\n  {'make demo' if program.startswith('deploy.demo') else f'python -m {program}'}" in said
    assert asked(program, mistake) == (2, f"python -m {program}: {answer}\n")


@pytest.mark.parametrize("given", ["reviews", "reviews:0", ":3", "reviews:six"])
def test_topics_without_partitions_are_refused_in_words(given: str) -> None:
    code, said = asked("deploy.kafka", "--topics", given)
    assert code == 2
    assert f"--topics {given}: takes name:partitions, several with commas, such as reviews:6" in said
