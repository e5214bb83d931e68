"""The README's lines for Spark, as they stand, on a real local cluster: two executors, the model from S3."""

from __future__ import annotations

import re
import shutil
from itertools import cycle, islice
from pathlib import Path

import pytest
from pyarrow import parquet, table

from tests.conftest import ROOT, TOY_REGISTRY, TOY_VERSION, missing, serving
from tests.fixtures.s3 import BUCKET, LocalS3
from tests.fixtures.spark import submit
from trainer.registry.history import Why
from trainer.registry.open import open_registry
from worker import Model

# The S3 client keeps its connections open for as long as the process runs.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
REVIEWS = 200_000
TEXTS = ("good app", "bad", "the worst app", None, "no words I know", " ", "good " * 50)


def test_two_executors_rate_200_000_reviews_with_the_model_from_s3(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if shutil.which("java") is None:
        missing("Java is not installed (Debian: openjdk-17-jre-headless)")
    programs = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    program = next(block for block in programs if "mapInPandas" in block)
    location = f"s3://{BUCKET}/models"
    for theirs, own in (
        ("s3://bucket/models", location),
        ("s3a://lake/reviews", str(tmp_path / "reviews")),
        ("s3a://lake/ratings", str(tmp_path / "ratings")),
    ):
        assert theirs in program
        program = program.replace(theirs, own)
    ids = [f"r-{number}" for number in range(REVIEWS)]
    texts = list(islice(cycle(TEXTS), REVIEWS))
    (tmp_path / "reviews").mkdir()
    for part in range(4):
        rows = {"review_id": ids[part::4], "text": texts[part::4]}
        parquet.write_table(table(rows), tmp_path / "reviews" / f"{part}.parquet")
    with serving(LocalS3()) as server:
        server.make_bucket()
        server.use(monkeypatch)
        registry = open_registry(location)
        registry.publish(TOY_VERSION, {path.name: path.read_bytes() for path in (TOY_REGISTRY / TOY_VERSION).iterdir()})
        registry.point("stable", TOY_VERSION, Why(action="promote", message="a test"))
        done = submit(program, tmp_path)
    assert done.returncode == 0, done.stderr[-4000:]
    rated = parquet.read_table(tmp_path / "ratings").to_pylist()
    assert sorted(row.pop("review_id") for row in rated) == sorted(ids)
    wanted = [found and found.to_fields() for found in Model.open(TOY_REGISTRY).rate(TEXTS)]
    nothing = dict.fromkeys(rated[0])
    visible = sum(bool((text or "").strip()) for text in texts)
    assert sum(row == nothing for row in rated) == REVIEWS - visible
    assert sum(row in wanted for row in rated if row != nothing) == visible
    logs = [path.read_text() for path in (tmp_path / "spark" / "work").glob("app-*/*/stderr")]
    assert sum("Finished task" in log for log in logs) == 2  # others begin when the driver has ended
