"""`worker.Model` from an object store."""

from __future__ import annotations

import pytest

from tests.conftest import TOY_REGISTRY, TOY_VERSION, serving
from tests.fixtures.s3 import BUCKET, LocalS3
from trainer.registry.history import Why
from trainer.registry.open import open_registry
from worker import Model
from worker.errors import RegistryError

# The client keeps its connections open for as long as the process runs.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def test_a_model_is_opened_from_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    location = f"s3://{BUCKET}/models"
    with serving(LocalS3()) as server:
        server.make_bucket()
        server.use(monkeypatch)
        with pytest.raises(RegistryError, match="no bundle there"):
            Model.open(location)
        registry = open_registry(location)
        registry.publish(TOY_VERSION, {path.name: path.read_bytes() for path in (TOY_REGISTRY / TOY_VERSION).iterdir()})
        registry.point("stable", TOY_VERSION, Why(action="promote", message="a test"))
        model = Model.open(location)
        assert model.rate(["good", "bad"]) == Model.open(TOY_REGISTRY).rate(["good", "bad"])
    assert [found and found.rating for found in model.rate(["good", "bad"])] == [5, 1]  # the store is gone
