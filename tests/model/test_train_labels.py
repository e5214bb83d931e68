"""`train --task labels` end to end on synthetic texts, through the command, and what its bundle does afterwards."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest

from schemas.bundle import read_bundle
from schemas.manifest import Manifest
from tests.model.conftest import SMALL, channels, train, write_reviews
from trainer.__main__ import main
from trainer.errors import Exit
from trainer.export.runtime import open_interpreter

WORDS = {"bugs": ("crash", "broken", "freeze"), "price": ("refund", "expensive", "charged"), "speed": ("slow", "lag")}
FILLERS = ("app", "the", "it", "is", "screen", "today", "really", "this", "update", "phone", "my", "and", "so", "page")


def synthetic(rows: int, seed: int = 0) -> list[tuple[str, list[str]]]:
    """Return texts with none, one or two of the labels, and now and then one that the text does not say."""
    draw = random.Random(seed)  # noqa: S311 - words, not secrets
    found = []
    for number in range(rows):
        labels = draw.sample([*WORDS], draw.choice((0, 1, 1, 2)))
        words = [*draw.sample(FILLERS, draw.randint(3, 8)), *(draw.choice(WORDS[label]) for label in labels)]
        draw.shuffle(words)
        wrong = [draw.choice([*WORDS])] if number % 12 == 0 else []
        found.append((f"{' '.join(words)} n{number}", sorted({*labels, *wrong})))
    return found


def write(path: Path, rows: list[tuple[str, list[str]]], *, columns: bool = False) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("content", *WORDS) if columns else ("content", "labels"))
        for text, labels in rows:
            marks = [int(name in labels) for name in WORDS]
            writer.writerow((text, *marks) if columns else (text, "|".join(labels)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `reviews.csv` and a registry whose `stable` learned the labels."""
    folder = tmp_path_factory.mktemp("labels")
    write(folder / "reviews.csv", synthetic(600))
    flags = ["--task", "labels", "--test-out", str(folder / "held_out.csv")]
    assert train(folder, *flags) == Exit.OK
    return folder


def manifest_of(folder: Path) -> Manifest:
    return read_bundle(folder / "models" / channels(folder)["stable"]).manifest


def test_the_manifest_says_the_task_the_labels_and_their_figures(trained: Path) -> None:
    manifest = manifest_of(trained)
    assert (manifest.task, manifest.schema_version) == ("labels", 2)
    assert manifest.decision.labels == [*WORDS]
    assert manifest.mismatch is None
    assert manifest.metrics["macro_f1"] > 0.8
    assert manifest.metrics["average_precision"] > 0.8
    assert set(manifest.baselines) == {"majority", "tfidf_logistic", "tfidf_logistic_thresholds"}
    assert len(manifest.baseline.rating_shares) == 4, "the last is of texts without a label"
    assert manifest.data.label_counts.keys() == WORDS.keys()
    assert {label["label"] for label in manifest.training["classes"]} == set(WORDS)
    assert all(review.rating is None for review in manifest.golden)


def test_the_served_file_gives_a_text_its_labels(trained: Path) -> None:
    model = read_bundle(trained / "models" / channels(trained)["stable"]).load(open_interpreter)
    scores = model.score(["crash and refund", "the screen is slow", "my phone today"])
    named = model.decision.named(scores.probabilities, scores.choices)
    assert [set(labels or {}) for labels in named] == [{"bugs", "price"}, {"speed"}, set()]
    assert scores.expected is None


def test_evaluate_prints_the_figures_of_the_manifest(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    flags = ["--registry", str(trained / "models"), "--data", str(trained / "held_out.csv")]
    assert main(["evaluate", *flags]) == Exit.OK
    printed = capsys.readouterr().out
    assert "average precision" in printed
    assert "speed" in printed
    assert main(["evaluate", *flags, "--json", "-"]) == Exit.OK
    found = json.loads(capsys.readouterr().out)
    manifest = manifest_of(trained)
    assert found["metrics"] == pytest.approx(manifest.metrics, abs=1e-5)
    assert "confusion" not in found
    part = ["--registry", str(trained / "models"), "--data", str(trained / "reviews.csv"), "--part", "test"]
    assert main(["evaluate", *part, "--json", "-"]) == Exit.OK
    again = json.loads(capsys.readouterr().out)
    assert (again["reviews"], again["metrics"]) == (found["reviews"], found["metrics"])


def test_the_report_shows_each_label_and_no_stars(trained: Path) -> None:
    page = (trained / "models" / channels(trained)["stable"] / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 8
    for said in ("average precision", "threshold", "tfidf_logistic_thresholds", "bugs", "mean error in labels"):
        assert said in page
    for stars in ("kappa", "author's own stars", "contradiction", "nan"):
        assert stars not in page


def test_a_column_a_label_learns_the_same_version_as_a_column_of_names(trained: Path, tmp_path: Path) -> None:
    """The same texts and labels give the same hash, however they are written."""
    write(tmp_path / "reviews.csv", synthetic(600), columns=True)
    columns = [part for name in WORDS for part in ("--label-columns", name)]
    assert train(tmp_path, "--task", "labels", *columns, "--no-baselines") == Exit.OK
    again = manifest_of(tmp_path)
    assert again.version.split("-")[1] == manifest_of(trained).version.split("-")[1]


def test_the_gate_compares_versions_of_the_same_labels_and_refuses_others(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(trained / "reviews.csv"), "--registry", str(trained / "models"), *SMALL, "--no-baselines"]
    stable = channels(trained)["stable"]
    assert main(["train", *data, "--task", "labels", "--warm-start", "stable", "--channel", "candidate"]) == Exit.OK
    printed = capsys.readouterr().out
    assert "f1 of speed" in printed
    assert "agreement with the labels" not in printed, "names cannot be turned round"
    promote = ["promote", "--registry", str(trained / "models"), "--gate-slower", "20"]
    assert main([*promote, "--data", str(trained / "held_out.csv")]) == Exit.OK
    assert channels(trained)["stable"] != stable
    write_reviews(tmp_path)
    stars = ["--data", str(tmp_path / "reviews.csv"), "--registry", str(trained / "models"), *SMALL, "--no-baselines"]
    assert main(["train", *stars]) == Exit.GATE
    assert "labels: 1, 2, 3, 4, 5 against bugs, price, speed" in capsys.readouterr().err


def test_a_version_of_stars_is_no_start_for_labels(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(trained / "other.csv", [(text, ["x", "y"][: len(labels)]) for text, labels in synthetic(300, 1)])
    data = ["--data", str(trained / "other.csv"), "--registry", str(trained / "models"), *SMALL]
    assert main(["train", *data, "--task", "labels", "--warm-start", "stable"]) == Exit.USAGE
    assert "the data has the labels x, y" in capsys.readouterr().err


def test_one_column_of_yes_and_no_is_a_model_of_one_label(tmp_path: Path) -> None:
    """Toxic or not: a tutorial's most common question."""
    rows = [(text, ["bugs"] if "bugs" in labels else []) for text, labels in synthetic(300, 2)]
    write(tmp_path / "reviews.csv", rows, columns=True)
    assert train(tmp_path, "--task", "labels", "--label-columns", "bugs") == Exit.OK
    manifest = manifest_of(tmp_path)
    assert manifest.decision.labels == ["bugs"]
    model = read_bundle(tmp_path / "models" / manifest.version).load(open_interpreter)
    assert model.score(["crash and freeze", "my phone today"]).choices.tolist() == [[True], [False]]
    assert manifest.baselines["tfidf_logistic_thresholds"]["macro_f1"] > 0.7
