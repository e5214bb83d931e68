"""What CI and the night run: every folder and verb is there, and the limits of a night fit."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import ONLY_BY_NAME, ROOT

NIGHTLY = (ROOT / ".ci/nightly").read_text(encoding="utf-8")
RUN = (ROOT / ".ci/run").read_text(encoding="utf-8")
NIGHT_MIN = 170  # under three hours, with what `.ci/packages` installs


def test_the_limits_of_a_night_add_up_to_less_than_three_hours() -> None:
    limits = [int(limit) for limit in re.findall(r"^step (\d+) ", NIGHTLY, re.MULTILINE)]
    assert len(limits) >= 8
    assert sum(limits) <= NIGHT_MIN


def test_what_is_tested_only_by_name_is_tested_at_night_and_where_it_changed() -> None:
    assert {name for name in ONLY_BY_NAME if f"tests/{name}" in NIGHTLY} == ONLY_BY_NAME
    where_changed = "\n".join(line for line in RUN.splitlines() if line.startswith("if concerns "))
    assert {name for name in ONLY_BY_NAME if re.search(f"make {name}|tests/{name}", where_changed)} == ONLY_BY_NAME


def test_every_verb_and_path_that_they_name_is_there() -> None:
    verbs = set(re.findall(r"\bmake ([a-z-]+)", NIGHTLY + RUN))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert {verb for verb in verbs if not re.search(rf"^{verb}:", makefile, re.MULTILINE)} == set()
    paths = set(re.findall(r"\btests/[\w/]+", NIGHTLY)) | {
        name.replace(".", "/") for name in re.findall(r"-m (tests[\w.]+)", NIGHTLY)
    }
    assert {path for path in paths if not there(ROOT / path)} == set()


def there(path: Path) -> bool:
    return path.is_dir() or path.with_suffix(".py").is_file()
