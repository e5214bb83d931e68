"""The beginning of a training run: what can be wrong with the flags, the registry and the files, before TensorFlow.

Owns the reading. Never loads TensorFlow, which takes seconds, so that a wrong column is reported at once. `train` is
next.
"""

from __future__ import annotations

from typing import NamedTuple

from trainer.console import Screen
from trainer.data.dataset import Dataset, load, unlabelled
from trainer.data.rows import require_files
from trainer.network.warm_start import Start, adopted, read_start, require_labels, shortened
from trainer.publish.channel import NO_CHANNEL
from trainer.registry.open import open_registry
from trainer.registry.registry import Registry
from trainer.settings import TrainSettings
from trainer.text.vocabulary import linguistics


class Ready(NamedTuple):
    """Everything a training run needs, checked and in memory."""

    settings: TrainSettings
    registry: Registry
    start: Start | None  # of `--warm-start`
    dataset: Dataset
    unlabelled: list[str]


def begin(settings: TrainSettings, screen: Screen) -> Ready:
    """Read and check everything.

    Raises:
        TrainerError: a word list, a file or the registry is missing, or the data cannot be used.
        BundleError: the version of `--warm-start` is damaged.
    """
    linguistics(settings)
    require_files([*settings.data, *settings.test_data, *settings.unlabelled])
    registry = open_registry(settings.registry)
    if settings.publish:
        registry.channels()  # a registry that cannot be read is found now, not after an hour of training
    if settings.channel != NO_CHANNEL:
        registry.require_channel(settings.channel, new=settings.new_channel)
    start = None if settings.warm_start is None else read_start(registry, settings.warm_start)
    if start is not None:
        settings = adopted(settings, start)
    with screen.phase("read"):
        dataset = load(settings, settings.seed)
        texts = unlabelled(settings, dataset)
    _say_data(dataset, screen)
    if start is not None:
        require_labels(start, dataset.labels)
        settings = shortened(settings, len(dataset.train))
    return Ready(settings, registry, start, dataset, texts)


def _say_data(dataset: Dataset, screen: Screen) -> None:
    found = dataset.fingerprint
    counts = ", ".join(f"{label}: {count}" for label, count in found.label_counts.items())
    screen.say(f"  {found.rows} reviews ({counts}), {found.duplicate_rows} with the same words as another")
    screen.say(f"  train {found.train_rows}, validation {found.validation_rows}, test {found.test_rows}")
    if dataset.rare:
        left_out = ", ".join(f"{name} ({count})" for name, count in dataset.rare.items())
        screen.say(f"  labels left out, with fewer rows than --min-label-rows: {left_out}")
    if dataset.dropped:
        screen.say(f"  {dataset.dropped} rows left out: --test-data has the same words")
    if dataset.bad_count:
        screen.say(f"  {dataset.bad_count} bad rows skipped; the first: {'; '.join(map(str, dataset.bad))}")
