"""`make release` on a tree of its own: what it refuses, the same bytes from the same commit, the wheel at work."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.programs import run
from deploy.release.environment import fresh_environment, require_programs, write_bill
from deploy.release.licences import licences, table
from deploy.release.packages import build_packages
from deploy.release.tree import clean_commit, export
from tests import PATIENCE_S
from tests.deploy.assets import ROOT

GIT = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_CONFIG_GLOBAL": "/dev/null"}
GIT |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org"}
VERSION = "7.8.9"
UV = Path(sys.executable).with_name("uv")


def _git(tree: Path, *words: str) -> str:
    return run(["git", "-c", "commit.gpgsign=false", *words], cwd=tree, env=GIT)


def _release(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.release", *words],
        cwd=tree, env={**os.environ, **GIT, "PYTHONPATH": str(tree)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose first commit is this working tree, prepared for a release."""
    tree = tmp_path_factory.mktemp("release") / "tree"
    listed = run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT).splitlines()
    for name in listed:
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
    _git(tree, "init", "--quiet")
    changelog = tree / "CHANGELOG.md"
    text = changelog.read_text(encoding="utf-8").replace(
        "## [Unreleased]\n", "## [Unreleased]\n\n### Added\n- This.\n\n", 1
    )
    changelog.write_text(text, encoding="utf-8")
    done = _release(tree, "prepare", VERSION)
    assert done.returncode == 0, done.stderr
    _git(tree, "add", "--all")
    _git(tree, "commit", "--quiet", "--message", "release")
    return tree


@pytest.fixture
def tree(origin: Path, tmp_path: Path) -> Path:
    _git(tmp_path, "clone", "--quiet", str(origin), "clone")
    return tmp_path / "clone"


def test_release_refuses_a_tree_that_differs_from_its_commit(tree: Path) -> None:
    (tree / "worker" / "new.py").write_text("", encoding="utf-8")
    done = _release(tree, "build")
    assert (done.returncode, done.stdout) == (3, "")
    assert "differs from the commit (1 files: worker/new.py)" in done.stderr
    assert not (tree / "dist").exists()


def test_release_refuses_a_version_that_is_tagged_elsewhere_or_was_built(tree: Path) -> None:
    _git(tree, "tag", f"v{VERSION}")
    _git(tree, "commit", "--quiet", "--allow-empty", "--message", "later")
    tagged = _release(tree, "build")
    assert (tagged.returncode, f"v{VERSION} exists" in tagged.stderr) == (3, True)
    _git(tree, "tag", "--delete", f"v{VERSION}")
    (tree / "dist" / f"starstream-{VERSION}").mkdir(parents=True)
    built = _release(tree, "build")
    assert (built.returncode, "was built before" in built.stderr) == (3, True)


def test_release_refuses_a_version_that_the_changelog_does_not_tell_of(tree: Path) -> None:
    changelog = tree / "CHANGELOG.md"
    text = changelog.read_text(encoding="utf-8")
    changelog.write_text(text.replace(f"## [{VERSION}]", "## [7.8.8]"), encoding="utf-8")
    _git(tree, "commit", "--quiet", "--all", "--message", "unnamed")
    done = _release(tree, "build")
    assert (done.returncode, f"make release-prepare VERSION={VERSION}" in done.stderr) == (3, True)


def test_the_same_commit_gives_the_same_wheel_and_source_distribution(tree: Path, tmp_path: Path) -> None:
    """Another folder, another umask, another second, another file time."""
    hashes = []
    for number, mask in enumerate((0o022, 0o077)):
        before = os.umask(mask)
        try:
            copy = tmp_path / f"copy{number}"
            _git(tmp_path, "clone", "--quiet", str(tree), str(copy))
            commit = clean_commit(copy)
            built = build_packages(
                export(commit, tmp_path / f"source{number}"), tmp_path / f"out{number}", commit.epoch
            )
        finally:
            os.umask(before)
        hashes.append([(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in built])
        time.sleep(2.1)  # a zip file counts time in steps of two seconds
    assert hashes[0] == hashes[1]
    assert [name for name, _ in hashes[0]] == [
        f"starstream_reviews-{VERSION}-py3-none-any.whl",
        f"starstream_reviews-{VERSION}.tar.gz",
    ]


@pytest.fixture(scope="module")
def wheel(origin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    commit = clean_commit(origin)
    folder = tmp_path_factory.mktemp("built")
    return build_packages(export(commit, folder / "source"), folder / "out", commit.epoch)[0]


@pytest.fixture(scope="module")
def worker(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment of the worker's lock and the wheel, outside the checkout."""
    return fresh_environment(tmp_path_factory.mktemp("product") / "environment", ROOT / "lock/worker.txt", wheel)


def test_shipped_worker_has_no_forbidden_licence_and_a_bill_of_all_its_packages(worker: Path, tmp_path: Path) -> None:
    require_programs(worker, VERSION)
    found = licences(worker)
    text = table(found, "starstream-worker")
    assert "- crc32c" in text
    bills = []
    for validate in (True, False):
        bill = tmp_path / f"{validate}.cdx.json"
        write_bill(worker, ROOT, bill, name="starstream-worker", version=VERSION, epoch=1, validate=validate)
        bills.append(bill.read_text(encoding="utf-8"))
    assert bills[0] == bills[1]
    bill_of = json.loads(bills[0])
    assert (bill_of["metadata"]["component"]["name"], bill_of["metadata"]["component"]["version"]) == (
        "starstream-worker",
        VERSION,
    )
    listed = {(component["name"].lower(), component["version"]) for component in bill_of["components"]}
    assert {(licence.package.lower(), licence.version) for licence in found} - listed <= {
        ("starstream-reviews", VERSION)
    }


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment with the wheel and no extra."""
    folder = tmp_path_factory.mktemp("bare") / "environment"
    run([UV, "venv", "--quiet", "--no-config", "--python", sys.executable, folder])
    install: list[str | Path] = [UV, "pip", "install", "--quiet", "--no-config", "--python", folder / "bin/python"]
    run([*install, "--constraints", ROOT / "lock/worker.txt", wheel])
    return folder / "bin"


def _bare(program: Path, *words: str, typed: str = "", **variables: str) -> tuple[int, str]:
    """Run an installed program outside the checkout, without any variable of ours; return its code and what it said."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WORKER_", "PYTHON"))}
    done = subprocess.run(
        [str(program), *words],
        cwd=program.parents[1],
        env=kept | variables,
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("program", ["starstream-worker", "starstream-trainer"])
def test_installed_programs_say_their_version_and_explain_every_command(program: str, bare: Path) -> None:
    assert _bare(bare / program, "--version") == (0, f"{program} {VERSION}\n")
    code, said = _bare(bare / program, "--help")
    assert code == 0
    commands = {"starstream-worker": ("run", "predict", "serve", "check"), "starstream-trainer": ("train", "promote")}
    for command in commands[program]:
        assert command in said
        assert _bare(bare / program, command, "--help")[0] == 0


def test_installed_worker_predicts_with_a_bundle(bare: Path, tmp_path: Path) -> None:
    reviews = tmp_path / "reviews.jsonl"
    reviews.write_text('{"text": "love it"}\n', encoding="utf-8")
    registry = str(ROOT / "tests/fixtures/toy_bundle")
    rated = tmp_path / "rated.jsonl"
    code, said = _bare(
        bare / "starstream-worker", "predict", "--registry", registry, "--input", str(reviews), "--output", str(rated)
    )
    assert code == 0, said
    assert '"rating"' in rated.read_text(encoding="utf-8")


def test_installed_programs_work_before_anything_is_trained(bare: Path, tmp_path: Path) -> None:
    code, said = _bare(bare / "starstream-worker", "predict", "-", typed="love it\n")
    assert code == 0, said
    assert "this is the starter" in said
    assert '"rating": 5' in said
    registry = str(tmp_path / "models")
    assert _bare(bare / "starstream-trainer", "starter", "--registry", registry)[0] == 0
    code, said = _bare(
        bare / "starstream-worker", "predict", "-", "--registry", registry, typed="Terrible, it crashes.\n"
    )
    assert code == 0, said
    assert '"rating": 1' in said


@pytest.mark.parametrize(
    ("extra", "program", "words", "variables"),
    [
        ("rest", "starstream-worker", ("serve",), {}),
        ("confluent", "starstream-worker", ("run",), {"WORKER_KAFKA_CLIENT": "confluent"}),
        ("otel", "starstream-worker", ("run",), {"WORKER_OTLP_ENDPOINT": "http://localhost:4317"}),
        ("s3", "starstream-worker", ("run",), {"WORKER_REGISTRY": "s3://bucket/models"}),
        ("parquet", "starstream-worker", ("predict", "--input", "reviews.parquet"), {}),
        ("trainer", "starstream-trainer", ("train", "--data", "reviews.csv"), {}),
        (
            "msk",
            "starstream-worker",
            ("run",),
            {
                "WORKER_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
                "WORKER_KAFKA_SASL_MECHANISM": "AWS_MSK_IAM",
                "WORKER_KAFKA_AWS_REGION": "eu-west-1",
            },
        ),
    ],
)
def test_a_missing_extra_is_named_in_one_line(
    extra: str, program: str, words: tuple[str, ...], variables: dict[str, str], bare: Path
) -> None:
    (bare.parent / "reviews.parquet").write_bytes(b"PAR1")
    (bare.parent / "reviews.csv").write_text("text,rating\nlove it,5\n", encoding="utf-8")
    settings = {"WORKER_REGISTRY": str(ROOT / "tests/fixtures/toy_bundle"), **variables}
    code, said = _bare(bare / program, *words, **settings)
    assert code != 0
    assert "Traceback" not in said
    assert re.search(rf"extra `{extra}`", said), said
