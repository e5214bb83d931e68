"""What the tests of the models share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.doubles import ManualClock, MemoryLog
from tests.fixtures.serving import ServingBench
from worker.ops.metrics import Metrics


@pytest.fixture
def bench(tmp_path: Path, clock: ManualClock, log: MemoryLog, metrics: Metrics) -> ServingBench:
    return ServingBench(tmp_path, clock, log, metrics)
