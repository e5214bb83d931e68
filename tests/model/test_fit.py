from __future__ import annotations

import random
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model.reviews import synthetic
from trainer.network.plan import Plan, plan
from trainer.progress import Epoch
from trainer.settings import FitSettings, ModelSettings, TextSettings
from trainer.text.vocabulary import learn

if TYPE_CHECKING:
    from trainer.network.fit import Examples

SMALL = ModelSettings(units=8, embedding=8)
QUICK = FitSettings(epochs=12, batch_rows=32, learning_rate=0.02)


class Watch:
    """Records its calls, and presses Ctrl-C at `stop_at`."""

    def __init__(self, stop_at: tuple[int, int] | None = None) -> None:
        self.stop_at = stop_at
        self.epochs: list[Epoch] = []
        self.kept: list[Epoch | None] = []

    def on_batch(self, epoch: int, batch: int, batches: int, loss: float) -> None:
        assert 1 <= batch <= batches
        assert np.isfinite(loss)
        if (epoch, batch) == self.stop_at:
            raise KeyboardInterrupt

    def on_epoch(self, epoch: Epoch) -> None:
        self.epochs.append(epoch)

    def on_interrupt(self, kept: Epoch | None) -> None:
        self.kept.append(kept)


def _examples() -> tuple[int, Examples, Examples]:
    from trainer.network.fit import Examples

    rows = synthetic(300)
    encoder = learn((text for text, _ in rows), TextSettings()).encoder()
    ids = encoder.encode_all([text for text, _ in rows])
    targets = np.array([label - 1 for _, label in rows])
    return encoder.size, Examples(ids[:240], targets[:240]), Examples(ids[240:], targets[240:])


def _run(settings: FitSettings, watch: Watch) -> tuple[list[Epoch], npt.NDArray[np.float32]]:
    from trainer.network.fit import fit, predictor, seed_everything
    from trainer.network.model import build

    size, train, validation = _examples()
    seed_everything(settings.seed)
    network = build(SMALL, size, np.full(5, 0.2, dtype=np.float32), settings.seed)
    epochs = fit(network, train, validation, settings, watch)
    return epochs, predictor(network)(validation.rows)


def _accuracy(logits: npt.NDArray[np.float32]) -> float:
    return float((logits.argmax(axis=1) == _examples()[2].targets).mean())


@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=300), size=st.integers(1, 40), seed=st.integers(0, 99))
def test_batches_hold_every_row_once(lengths: list[int], size: int, seed: int) -> None:
    from trainer.network.fit import batches

    found = batches(np.arange(len(lengths)), np.array(lengths), size, np.random.default_rng(seed))
    assert sorted(row for batch in found for row in batch.tolist()) == list(range(len(lengths)))
    assert max(map(len, found)) <= size


def test_batches_have_similar_lengths() -> None:
    from trainer.network.fit import batches

    lengths = np.random.default_rng(0).integers(1, 100, 3200)
    found = batches(np.arange(3200), lengths, 64, np.random.default_rng(0))
    padded = sum(len(batch) * int(lengths[batch].max()) for batch in found)
    assert padded / lengths.sum() < 1.05


def test_training_keeps_the_best_epoch() -> None:
    watch = Watch()
    epochs, logits = _run(QUICK, watch)
    assert epochs == watch.epochs
    assert epochs[-1].train_loss < epochs[0].train_loss / 2
    best = [epoch for epoch in epochs if epoch.best][-1]
    assert best.validation_loss == min(epoch.validation_loss for epoch in epochs)
    assert _accuracy(logits) == pytest.approx(best.validation_accuracy)
    assert best.validation_accuracy > 0.9


def test_training_stops_when_validation_no_longer_improves() -> None:
    epochs, _ = _run(FitSettings(epochs=30, patience=1, batch_rows=32, learning_rate=0.3, averaging=0.0), Watch())
    assert len(epochs) < 30
    assert not epochs[-1].best


@pytest.mark.parametrize("changes", [{}, {"cell": "lstm"}, {"bidirectional": True}])
def test_initial_weights_depend_on_the_seed_alone(changes: dict[str, object]) -> None:
    """A Kafka client's thread draws its jitter from Python's `random`, between the seeding and the layers."""
    from trainer.network.fit import seed_everything
    from trainer.network.model import build, weights_of

    settings, starts = SMALL.model_copy(update=changes), []
    for drawn in (0, 4):
        seed_everything(7)
        random.getrandbits(32 * drawn)
        network = build(settings, 50, np.full(5, 0.2, dtype=np.float32), 7)
        starts.append(network.get_weights())
    assert all((first == disturbed).all() for first, disturbed in zip(*starts, strict=True))
    other = build(settings, 50, np.full(5, 0.2, dtype=np.float32), 8).get_weights()
    assert any((first != third).any() for first, third in zip(starts[0], other, strict=True))
    for first, second in pairwise(weights_of(network, settings).directions):
        assert (first.kernel != second.kernel).any(), "both directions start alike"
        assert (first.recurrent != second.recurrent).any(), "both directions start alike"


def test_interrupt_keeps_the_best_epoch_so_far() -> None:
    watch = Watch(stop_at=(3, 2))
    epochs, logits = _run(QUICK, watch)
    assert [epoch.number for epoch in epochs] == [1, 2]
    best = [epoch for epoch in epochs if epoch.best][-1]
    assert watch.kept == [best]
    assert _accuracy(logits) == pytest.approx(best.validation_accuracy)


def test_interrupt_before_the_first_epoch_keeps_nothing() -> None:
    watch = Watch(stop_at=(1, 2))
    with pytest.raises(KeyboardInterrupt):
        _run(QUICK, watch)
    assert watch.kept == [None]


@pytest.mark.parametrize(("loss", "imbalance"), [("cross-entropy", "weights"), ("ordinal", "resample")])
def test_every_strategy_lowers_the_loss(loss: str, imbalance: str) -> None:
    settings = FitSettings.model_validate({**QUICK.model_dump(), "loss": loss, "imbalance": imbalance, "epochs": 2})
    epochs, _ = _run(settings, Watch())
    assert epochs[-1].train_loss < epochs[0].train_loss


@pytest.mark.parametrize(
    ("settings", "rows", "expected"),
    [
        (FitSettings(), 240, Plan(epochs=12, batch_rows=16, steps=180)),
        (FitSettings(), 1200, Plan(epochs=12, batch_rows=40, steps=360)),
        (FitSettings(), 14_500, Plan(epochs=4, batch_rows=128, steps=456)),
        (FitSettings(), 1_000_000, Plan(epochs=4, batch_rows=128, steps=31_252)),
        (FitSettings(epochs=2, batch_rows=10), 101, Plan(2, 10, 22)),
    ],
)
def test_small_data_gets_smaller_steps_and_more_passes_unless_set(
    settings: FitSettings, rows: int, expected: Plan
) -> None:
    assert plan(settings, rows) == expected


def test_step_size_rises_then_falls_to_its_last_share() -> None:
    from trainer.network.fit import LAST_SHARE, WarmCosine

    schedule = WarmCosine(0.003, 200)
    sizes = np.array([float(schedule(step)) for step in range(260)])
    assert sizes[0] == 0
    assert sizes.argmax() in range(18, 22)
    assert 0.0028 < sizes.max() <= 0.003
    assert (np.diff(sizes[20:]) <= 1e-9).all()
    assert sizes[200:] == pytest.approx(0.003 * LAST_SHARE)


def test_long_texts_keep_head_and_tail() -> None:
    from trainer.network.fit import Examples

    rows = [np.arange(1, 11, dtype=np.int32), np.array([7], dtype=np.int32)]
    found = Examples(rows, np.array([0, 1])).cut(5)
    assert [row.tolist() for row in found.rows] == [[1, 2, 3, 9, 10], [7]]
    assert [row.tolist() for row in Examples(rows, np.array([0, 1])).cut(10).rows] == [row.tolist() for row in rows]
