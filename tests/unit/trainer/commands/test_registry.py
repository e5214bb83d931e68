"""The commands for a registry, on toy bundles: effects, output and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import TOY_REGISTRY, TOY_VERSION
from tests.fixtures.bundles import Change, add_toy
from tests.model.reviews import write_csv
from trainer.__main__ import main
from trainer.errors import Exit

OLD, NEW, THIRD = (f"2026010{day}T000000Z-0000000{day}" for day in (2, 3, 4))


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    add_toy(folder, OLD)
    add_toy(folder, NEW)
    return folder


def _run(registry: Path, *argv: str) -> int:
    return main([argv[0], "--registry", str(registry), *argv[1:]])


def _channels(registry: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((registry / "channels.json").read_bytes())
    return found


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    """The flags for held-out texts that the toy rates right."""
    texts = {1: "worst app", 3: "ok", 5: "love it, best app"}
    rows = [(f"{texts[star]} {number}", star) for number in range(60) for star in texts]
    held_out = write_csv(tmp_path / "held_out.csv", rows)
    return ["--data", str(held_out), "--gate-slower", "20", "--gate-max-ece", "1"]


@pytest.mark.parametrize("command", ["promote", "rollback", "history"])
def test_a_mistyped_channel_is_answered_with_the_nearest_and_makes_none(
    registry: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert _run(registry, "promote", NEW) == Exit.OK
    before = _channels(registry)
    capsys.readouterr()
    assert _run(registry, command, *([OLD] if command == "promote" else []), "--channel", "stabel") == Exit.REGISTRY
    assert "there is no channel stabel; there are: " in (said := capsys.readouterr().err)
    assert "; did you mean stable?" in said
    assert _channels(registry) == before


def test_a_channel_of_another_name_is_made_on_purpose_only(registry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(registry, "promote", NEW, "--channel", "beta") == Exit.REGISTRY
    assert "there is no channel beta; there are: candidate, stable; --new-channel makes it" in capsys.readouterr().err
    assert _run(registry, "promote", NEW, "--channel", "beta", "--new-channel") == Exit.OK
    assert _run(registry, "promote", OLD, "--channel", "beta") == Exit.OK, "it is there"
    assert _channels(registry) == {"beta": OLD}


def test_promote_rollback_and_their_history(registry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(registry, "promote", "--version", OLD, "--message", "the first") == Exit.OK
    assert _run(registry, "promote", "--version", NEW, "--channel", "candidate") == Exit.OK
    assert _run(registry, "promote", "--message", "shadow agrees") == Exit.OK  # candidate becomes stable
    assert _channels(registry) == {"stable": NEW, "candidate": NEW}
    assert _run(registry, "rollback", "--message", "too many ones") == Exit.OK
    assert _channels(registry) == {"stable": OLD, "candidate": NEW}
    capsys.readouterr()
    assert _run(registry, "history", "--json", "--channel", "stable") == Exit.OK
    changes = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [change["message"] for change in changes] == ["too many ones", "shadow agrees", "the first"]
    assert [change["action"] for change in changes] == ["rollback", "promote", "promote"]
    assert all("@" in change["by"] and change["at"].startswith("20") for change in changes)
    assert _run(registry, "history") == Exit.OK
    said = capsys.readouterr().out
    assert "too many ones" in said
    assert f"candidate: {NEW}; rollback to no version" in said
    assert _run(registry, "rollback") == Exit.REGISTRY
    assert "the history has nothing before" in capsys.readouterr().err


def test_promote_refuses_a_version_that_cannot_serve(registry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (registry / NEW / "model.tflite").write_bytes(b"half")
    assert _run(registry, "promote", "--version", NEW) == Exit.REGISTRY
    assert "sha256 differs" in capsys.readouterr().err
    assert _run(registry, "promote", "--version", "candidate") == Exit.REGISTRY
    assert not (registry / "channels.json").exists()


def test_promote_refuses_other_labels_unless_forced(registry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_toy(registry, THIRD, Change(labels=(0, 1, 2, 3, 4)))
    assert _run(registry, "promote", "--version", OLD) == Exit.OK
    assert _run(registry, "promote", "--version", THIRD) == Exit.GATE
    assert _channels(registry) == {"stable": OLD}
    caught = capsys.readouterr()
    assert "FAILS" in caught.out
    assert "another set" in caught.err
    assert _run(registry, "promote", "--version", THIRD, "--force", "--message", "stars from 0") == Exit.OK
    assert _channels(registry) == {"stable": THIRD}
    capsys.readouterr()
    assert _run(registry, "history") == Exit.OK
    said = " ".join(capsys.readouterr().out.split())
    assert "forced" in said
    assert "stars from 0" in said


def _trained(against: str, *, passed: bool) -> Change:
    """A version whose training compared it with `against`."""
    row = {"name": "mae", "current": "0.4", "new": "0.5", "worse_by": "+0.1", "allowed": "0.02", "passed": passed}
    return Change(training={"gate": [row], "gate_against": against})


def test_promote_without_data_goes_by_the_gate_of_the_training(
    registry: Path, data: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad, stale = (f"2026010{day}T000000Z-0000000{day}" for day in (5, 6, 7))
    for version, change in ((good, _trained(OLD, passed=True)), (bad, _trained(OLD, passed=False))):
        add_toy(registry, version, change)
    add_toy(registry, stale, _trained(NEW, passed=False))
    assert _run(registry, "promote", "--version", OLD) == Exit.OK
    assert "no --data" in capsys.readouterr().err, "there is nothing to compare with"
    assert _run(registry, "promote", "--version", bad) == Exit.GATE
    assert "mae: 0.5 against 0.4 (+0.1, allowed 0.02)" in capsys.readouterr().err
    assert _run(registry, "promote", "--version", bad, *data) == Exit.OK, "held-out reviews of now overrule it"
    assert _run(registry, "rollback") == Exit.OK
    assert _run(registry, "promote", "--version", stale) == Exit.OK, "it was compared with another version"
    assert "only the labels were compared; --data held_out.csv runs it" in capsys.readouterr().err
    assert _run(registry, "rollback") == Exit.OK
    assert _run(registry, "promote", "--version", good) == Exit.OK
    assert f"the gate passed when {good} was trained, against {OLD}" in capsys.readouterr().err


def test_promote_says_what_the_training_doubted_and_which_labels_are_not_tested(
    registry: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    doubt = "the recurrent part has a weight of 0.00 in the sum: it contributes nothing"
    add_toy(registry, THIRD, Change(training={"doubts": [doubt]}))
    assert _run(registry, "promote", "--version", THIRD) == Exit.OK
    assert f"when it was trained: {doubt}" in capsys.readouterr().err
    few = write_csv(tmp_path / "few.csv", [("worst app", 1), ("love it, best app", 5)] * 20)
    promote = ["promote", "--version", THIRD, "--data", str(few), "--gate-slower", "20", "--gate-max-ece", "1"]
    assert _run(registry, *promote) == Exit.OK
    said = capsys.readouterr().out
    assert f"when it was trained: {doubt}" in said
    assert "no held-out text has the label 2, 3, 4: nothing is known" in said


def test_promote_with_stars_turned_round_says_so(
    registry: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    turned = write_csv(tmp_path / "turned.csv", [("worst app", 5), ("ok", 3), ("love it, best app", 1)] * 20)
    assert _run(registry, "promote", "--version", OLD) == Exit.OK
    promote = ["promote", "--version", NEW, "--data", str(turned), "--gate-slower", "20", "--gate-max-ece", "1"]
    assert _run(registry, *promote) == Exit.GATE
    caught = capsys.readouterr()
    assert "agreement with the labels: -1.000 against -1.000 (below chance, allowed -0.083)" in caught.err
    assert "does the file count 1 as the best, or name another column?" in caught.out


def test_promote_with_data_needs_the_gate_against_stable(
    registry: Path, data: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    add_toy(registry, THIRD, Change(always=1))
    worse = ["promote", "--version", THIRD, *data]
    assert _run(registry, "promote", "--version", OLD, *data) == Exit.OK, "there is no version to be worse than"
    assert _run(registry, "promote", "--version", NEW, *data) == Exit.OK
    for channel in ("stable", "candidate"):
        capsys.readouterr()
        assert _run(registry, *worse, "--channel", channel) == Exit.GATE
        assert _channels(registry) == {"stable": NEW}
        caught = capsys.readouterr()
        assert "accuracy: 0.333 against 1.000 (+0.667" in caught.err
        assert caught.out.count("FAILS") >= 5
    assert _run(registry, *worse, "--channel", "candidate", "--against", "candidate") == Exit.OK, "no version as before"
    assert _run(registry, *worse, "--force") == Exit.OK
    assert _channels(registry) == {"stable": THIRD, "candidate": THIRD}


def test_publish_copies_a_version_and_moves_no_channel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "elsewhere"
    copy = ["publish", "--registry", str(target), "--source", str(TOY_REGISTRY), "--version", "stable"]
    assert main(copy) == Exit.OK
    assert (target / TOY_VERSION / "manifest.json").is_file()
    assert not (target / "channels.json").exists()
    assert main(copy) == Exit.REGISTRY
    assert "in the registry already" in capsys.readouterr().err


def test_prune_lists_then_removes(registry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_toy(registry, THIRD)
    assert _run(registry, "promote", "--version", OLD) == Exit.OK
    capsys.readouterr()
    assert _run(registry, "prune", "--keep", "1", "--dry-run") == Exit.OK
    assert capsys.readouterr().out == f"would remove {NEW}\n"
    assert _run(registry, "prune", "--keep", "1") == Exit.OK
    assert sorted(path.parent.name for path in registry.glob("*/manifest.json")) == [OLD, THIRD]
    assert _run(registry, "prune", "--keep", "0") == Exit.USAGE


def test_verify_reports_every_fault(registry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(registry, "promote", "--version", OLD) == Exit.OK
    assert _run(registry, "verify") == Exit.OK
    assert "replays 5 golden" in capsys.readouterr().out
    other = json.loads((registry / NEW / "manifest.json").read_bytes())
    other["golden"][0]["probabilities"] = [0.2] * 5
    (registry / NEW / "manifest.json").write_text(json.dumps(other))
    add_toy(registry, THIRD)
    (registry / THIRD).rename(registry / "20260105T000000Z-00000005")
    (registry / OLD / "encoder.tsv").write_text("love\t2\n")
    assert _run(registry, "verify") == Exit.REGISTRY
    said = capsys.readouterr().out
    assert f"{OLD}/encoder.tsv: sha256 differs" in said
    assert f"{NEW}: golden review 0: probabilities are off" in said
    assert f"its manifest says {THIRD}" in said
    assert _run(registry, "verify", "--version", "stable") == Exit.REGISTRY
    assert _run(registry, "verify", "--version", "nothing") == Exit.REGISTRY


def test_list_shows_channels_and_damaged_versions(registry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(registry, "promote", "--version", OLD) == Exit.OK
    (registry / NEW / "manifest.json").write_text("{}")
    capsys.readouterr()
    assert _run(registry, "list") == Exit.OK
    said = capsys.readouterr().out
    assert "stable" in said
    assert f"{NEW}/manifest.json: not a manifest" in said
    assert _run(registry, "list", "--json") == Exit.OK
    damaged, whole = json.loads(capsys.readouterr().out)
    assert damaged == {"version": NEW, "channels": [], "cell": "damaged"}
    assert (whole["version"], whole["channels"], whole["variant"]) == (OLD, ["stable"], "float32")
