"""`explain` over the toy bundle: the text with its words, and the stored rating's text from its position."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from schemas.bundle import read_bundle
from schemas.reasons.explain import explain
from tests.conftest import TOY_REGISTRY, TOY_VERSION
from worker.commands.explain import coloured, run
from worker.errors import ExitCode, SettingsError
from worker.model.runtime import load_runtime
from worker.settings import WorkerSettings, read_settings

pytestmark = pytest.mark.usefixtures("clean_environment")


@pytest.fixture
def settings() -> WorkerSettings:
    return read_settings({"registry": str(TOY_REGISTRY), "max_text_chars": "200"})


def asked(text: str | None, *, review_id: str | None = None, as_json: bool = False) -> SimpleNamespace:
    return SimpleNamespace(text=text, id=review_id, json=as_json)


def test_people_see_the_text_the_decision_and_the_words(
    settings: WorkerSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(settings, asked("Good, but TERRIBLE and bad 😡")) == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Good, but TERRIBLE and bad 😡"
    said = [" ".join(line.split()) for line in lines]
    assert "tokens 7, 7 read, 4 unknown (underlined)" in said
    assert "decided by terrible bad" in said
    assert f"model {TOY_VERSION}" in said
    effects = dict(line.rsplit(" ", 1) for line in said[said.index("word adds to the stars") + 1 :])
    assert float(effects["bad"]) < 0 < float(effects["good"])


def test_the_json_is_the_prediction_and_its_explanation(
    settings: WorkerSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(settings, asked("so bad", as_json=True)) == ExitCode.OK
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert (found["rating"], found["model_version"], said.err) == (1, TOY_VERSION, "")
    assert [word["text"] for word in found["explanation"]["words"]] == ["so", "bad"]


def test_words_are_green_red_dim_and_underlined_where_they_stand() -> None:
    model = read_bundle(TOY_REGISTRY / TOY_VERSION).load(load_runtime()[1])
    out = StringIO()
    text = coloured(explain(model, None, "good\x1b[31m terrible\n worst abracadabra"))
    Console(file=out, force_terminal=True, color_system="standard").print(text)
    shown = out.getvalue()
    assert "\x1b[32mgood\x1b[0m" in shown, "faint beside two that say the opposite"
    assert "\x1b[1;31mterrible\x1b[0m" in shown
    assert "abracadabra" in shown.split("\x1b[2;4m")[-1], "dim, and underlined because it is unknown"
    assert "\x1b[31m terrible" not in shown, "a terminal would obey the review"


@pytest.mark.parametrize(("text", "review_id"), [(None, None), ("good", "r-1"), ("  ", None), ("x" * 201, None)])
def test_a_wrong_question_is_refused(settings: WorkerSettings, text: str | None, review_id: str | None) -> None:
    with pytest.raises(SettingsError):
        run(settings, asked(text, review_id=review_id))


def test_the_starter_is_named_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(read_settings({"registry": str(tmp_path)}), asked("love it")) == ExitCode.OK
    assert capsys.readouterr().err.startswith("this is the starter, trained on")
