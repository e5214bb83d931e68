"""`train` end to end on synthetic reviews, through the command, and what its bundle does afterwards."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from pathlib import Path

import pytest

from schemas.bundle import read_bundle
from schemas.manifest import Manifest
from tests.model.conftest import channels, train, write_reviews
from tests.model.reviews import synthetic, write_csv
from trainer.__main__ import main
from trainer.errors import Exit
from trainer.export.golden import GOLDEN_TEXTS
from trainer.export.runtime import open_interpreter


def _stable(folder: Path) -> Path:
    return folder / "models" / channels(folder)["stable"]


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the published version was trained once more, with fewer words in its report."""
    folder = tmp_path_factory.mktemp("again")
    write_reviews(folder)
    assert train(folder, "--no-baselines", "--no-texts") == Exit.OK
    return folder


def _manifest(folder: Path) -> Manifest:
    return read_bundle(_stable(folder)).manifest


def test_published_bundle_reads_loads_and_replays_its_golden_set(published: Path) -> None:
    bundle = read_bundle(_stable(published))
    model = bundle.load(open_interpreter)
    assert [review.text for review in bundle.manifest.golden] == list(GOLDEN_TEXTS)
    scores = model.score(["love perfect best app", "terrible broken worst app"])
    assert [bundle.manifest.decision.labels[at] for at in scores.choices] == [5, 1]


def test_manifest_describes_the_run(published: Path) -> None:
    manifest = _manifest(published)
    assert manifest.decision.labels == [1, 2, 3, 4, 5]
    assert set(manifest.files) == {"model.tflite", "encoder.tsv", "report.html"}
    assert manifest.metrics["accuracy"] > 0.7
    assert set(manifest.baselines) == {"majority", "tfidf_logistic", "tfidf_logistic_balanced"}
    assert manifest.baselines["majority"]["accuracy"] < 0.5
    assert manifest.data.rows == 600
    assert manifest.data.train_rows + manifest.data.validation_rows + manifest.data.test_rows == 600
    assert sum(manifest.baseline.rating_shares) == pytest.approx(1, abs=1e-5)
    assert set(manifest.toolchain) >= {"tensorflow", "keras", "ai-edge-litert"}
    assert str(published) not in manifest.model_dump_json(), "the paths of this machine are not published"


def test_report_loads_nothing(published: Path) -> None:
    page = (_stable(published) / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 10, "eight charts and two clouds of words"
    assert "tfidf_logistic_balanced" in page
    assert "<script" not in page
    assert "<link" not in page
    assert 'src="http' not in page
    assert "nan" not in page.lower().replace("ukrainian", "")


def test_report_quotes_test_texts_only_and_none_with_no_texts(published: Path, again: Path) -> None:
    with (published / "held_out.csv").open(encoding="utf-8", newline="") as file:
        held_out = {row["content"] for row in csv.DictReader(file)}
    page, silent = ((_stable(folder) / "report.html").read_text(encoding="utf-8") for folder in (published, again))
    everything = {text for text, _ in synthetic(600)}
    assert {text for text in everything if text in page} & held_out
    assert not {text for text in everything if text in page} - held_out
    assert not {text for text in everything if text in silent}


def test_evaluate_prints_the_figures_of_the_manifest(published: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = _manifest(published)
    registry = str(published / "models")
    for flags in (
        ["--data", str(published / "held_out.csv")],
        ["--data", str(published / "reviews.csv"), "--part", "test"],
    ):
        capsys.readouterr()
        assert main(["evaluate", "--registry", registry, *flags, "--json", "-"]) == Exit.OK
        found = json.loads(capsys.readouterr().out)
        assert found["reviews"] == manifest.data.test_rows
        assert found["version"] == manifest.version
        assert found["metrics"] == pytest.approx(manifest.metrics, abs=1e-5)


def test_list_and_show_name_the_version(published: Path, capsys: pytest.CaptureFixture[str]) -> None:
    version = _manifest(published).version
    for argv in (["list"], ["show"], ["show", "--raw"], ["show", "--version", version]):
        assert main([*argv, "--registry", str(published / "models")]) == Exit.OK
        assert version in capsys.readouterr().out


def test_same_seed_and_data_give_the_same_hash_and_another_seed_another(
    published: Path, again: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = _manifest(published), _manifest(again)
    assert second.version.split("-")[1] == first.version.split("-")[1]
    assert second.baselines == {}
    other = shutil.copytree(again, tmp_path / "other")
    assert train(other, "--no-baselines", "--seed", "1", "--channel", "candidate", "--force") == Exit.OK
    assert channels(other)["candidate"].split("-")[1] != first.version.split("-")[1]
    assert channels(other)["stable"] == second.version
    assert "may have learned some of these texts" in " ".join(capsys.readouterr().out.split()), "it had another split"


def test_lstm_with_two_directions_and_two_labels(tmp_path: Path) -> None:
    write_csv(tmp_path / "reviews.csv", [(text, label // 5) for text, label in synthetic(200, labels=(1, 5))])
    flags = ["--cell", "lstm", "--bidirectional", "--variant", "int8", "--no-baselines", "--decide", "likeliest"]
    assert train(tmp_path, *flags, "--epochs", "1") == Exit.OK
    manifest = _manifest(tmp_path)
    assert (manifest.cell, manifest.variant, manifest.decision.labels) == ("lstm", "int8", [0, 1])


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--data", "missing.csv"], Exit.BAD_DATA, "missing.csv: No such file"),
        (["--text-column", "body"], Exit.BAD_DATA, "there are: content, score"),
        (["--registry", "nonsense://bucket/models"], Exit.REGISTRY, "use a folder or s3://bucket/path"),
        (["--channel", "Not a channel"], Exit.REGISTRY, "lower-case"),
        (["--channel", "stabel"], Exit.REGISTRY, "did you mean stable?"),
    ],
)
def test_refusals_leave_the_registry_untouched(
    tmp_path: Path, flags: list[str], code: Exit, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_reviews(tmp_path)
    assert train(tmp_path, *flags) == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


class Impatient(io.StringIO):
    """A terminal on which somebody presses Ctrl-C before the first epoch."""

    def write(self, text: str) -> int:
        if text.startswith("vocabulary"):
            raise KeyboardInterrupt
        return super().write(text)


def test_ctrl_c_before_the_first_epoch_exits_130_and_publishes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_reviews(tmp_path)
    monkeypatch.setattr(sys, "stderr", Impatient())
    try:
        assert train(tmp_path) == Exit.INTERRUPTED
    except KeyboardInterrupt:
        pytest.fail("the command ended with a traceback")  # and pytest would end too
    assert not (tmp_path / "models").exists()
