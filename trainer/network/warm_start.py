"""A warm start: training that starts from the weights and words of a published version.

Owns the training weights (`weights/<version>.npz`, without pickles, hashed in the manifest, read by no worker), the
vocabulary that grows by new words, and the settings that must not change: the shapes, the way text becomes ids, and
the split, because with another split the test side would have texts that were learned.

New words start from word vectors of the new texts, mapped into the old embedding's space by least squares over the
words that both have (Mikolov, Le & Sutskever 2013, "Exploiting Similarities among Languages").
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from schemas.encoding import DROPPED, FIRST_WORD_ID, Encoder
from schemas.manifest import Manifest
from trainer.data.targets import Names
from trainer.errors import RegistryError, WarmStartError
from trainer.network.plan import plan
from trainer.registry.registry import Registry, weights_file
from trainer.settings import TrainSettings
from trainer.text.normalise import Reference
from trainer.text.vocabulary import Vocabulary, learn, linguistics
from trainer.text.word_vectors import RANDOM_SCALE, word_vectors

if TYPE_CHECKING:
    import keras  # the version is read before TensorFlow has loaded

Floats = npt.NDArray[np.float32]

SHAPES = ("cell", "bidirectional", "units", "embedding")
WORDS = ("normalise", "stop_words", "head_share", "squeeze", "unknown_buckets")
SPLIT = ("seed", "validation_share", "test_share")
SHORTER = 2  # times fewer passes: as good on validation as all passes of a cold start, see LOG.md


@dataclass(frozen=True, slots=True)
class Start:
    """A version to start from."""

    version: str
    manifest: Manifest
    table: Mapping[str, int]  # surface -> id
    arrays: Mapping[str, Floats]  # the network's weights, by layer and position


def weights_bytes(network: keras.Model) -> bytes:
    """Return every weight of the trained network, before `model.join`, as an `.npz` without pickles."""
    arrays = {f"{layer.name}.{at}": array for layer in network.layers for at, array in enumerate(layer.get_weights())}
    buffer = io.BytesIO()
    np.savez(buffer, **{name: array for name, array in arrays.items() if array.dtype == np.float32})
    return buffer.getvalue()


def read_start(registry: Registry, name: str) -> Start:
    """Read a version, or the one that a channel points at, with its weights.

    Raises:
        RegistryError: there is no such version, it has no weights, or their hash is not the manifest's.
        BundleError: the bundle is damaged.
    """
    version = registry.resolve(name)
    bundle = registry.bundle(version)
    expected = bundle.manifest.training.get("weights", {})
    content = registry.weights(version) if expected else None
    if content is None:
        raise RegistryError(f"{version} has no training weights ({weights_file(version)}); train without --warm-start")
    if hashlib.sha256(content).hexdigest() != expected["sha256"]:
        raise RegistryError(f"{weights_file(version)}: sha256 differs from the manifest; train without --warm-start")
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        arrays = {key: np.asarray(found[key], dtype=np.float32) for key in found.files}
    return Start(version, bundle.manifest, bundle.table, arrays)


def adopted(settings: TrainSettings, start: Start) -> TrainSettings:
    """Return the settings with the values that the version fixes.

    Raises:
        WarmStartError: a flag has another value; names both.
    """
    before = start.manifest.training["settings"]
    given = settings.model_fields_set
    update: dict[str, Any] = {}
    for name in (*SHAPES, *WORDS, *SPLIT):
        if name in given and getattr(settings, name) != before[name]:
            flag = name.replace("_", "-")
            raise WarmStartError(
                f"--{flag} {getattr(settings, name)}: {start.version} has {before[name]}; leave it out, "
                "or train without --warm-start"
            )
        update[name] = before[name]
    if bool(settings.test_data) != bool(before["test_data"]):
        with_test, without = ("this run", start.version) if settings.test_data else (start.version, "this run")
        raise WarmStartError(
            f"--test-data: {with_test} has an official test set and {without} has none, so held-out texts may have "
            "been learned; use the same, or train without --warm-start"
        )
    update["max_tokens"] = settings.max_tokens or start.manifest.encoder.max_tokens
    return settings.model_copy(update=update)


def shortened(settings: TrainSettings, rows: int) -> TrainSettings:
    """Return the settings with fewer passes over this number of training rows, when `epochs` is not given."""
    return settings.model_copy(update={"epochs": settings.epochs or max(plan(settings, rows).epochs // SHORTER, 1)})


def require_labels(start: Start, labels: Names) -> None:
    """Refuse data with other labels than the version's.

    Raises:
        WarmStartError: naming both.
    """
    before = start.manifest.decision.labels
    if labels != before:
        raise WarmStartError(
            f"the data has the labels {', '.join(map(str, labels))}, {start.version} has "
            f"{', '.join(map(str, before))}; name the ones to keep with --labels, or train without --warm-start"
        )


def grown(texts: Sequence[str], settings: TrainSettings, unlabelled: Sequence[str], start: Start) -> Vocabulary:
    """Return the version's vocabulary with new words appended; known words keep their ids.

    Raises:
        CorpusError: NLTK's lists are needed and missing.
    """
    fresh = learn(texts, settings, unlabelled)
    plain, dropped = linguistics(settings)
    surfaces = [surface for surface, token_id in start.table.items() if token_id != DROPPED]
    ids = {plain(surface): start.table[surface] for surface in surfaces}
    by_id = sorted(fresh.reference.ids.items(), key=lambda item: item[1])
    new = [form for form, _ in by_id if form not in ids]
    room = max(settings.vocabulary_size - len(ids), 0)
    first = max(ids.values(), default=FIRST_WORD_ID - 1) + 1
    ids |= {form: at for at, form in enumerate(new[:room], start=first)}
    lexicon = fresh.reference.lexicon | frozenset(surfaces)

    def base(surface: str) -> str:
        """Correct no word that has an id."""
        form = plain(surface)
        return form if form in ids else fresh.reference.base(surface)

    table = {surface: ids[form] for surface in sorted(lexicon) if (form := base(surface)) in ids}
    table.update(dict.fromkeys(dropped, DROPPED))
    encoder = settings.encoder(fresh.settings.max_tokens)
    return Vocabulary(encoder, table, Reference(encoder, lexicon, dropped, ids, base))


def warm_embedding(vocabulary: Vocabulary, texts: Sequence[str], settings: TrainSettings, start: Start) -> Floats:
    """Return the initial embedding, `float32[V, D]`: the version's rows, and rows for the new words."""
    old_encoder = Encoder(start.manifest.encoder, start.table)
    old = _array(start, "embedding.0", (old_encoder.size, settings.embedding))
    encoder = vocabulary.encoder()
    known = old_encoder.first_bucket
    found = np.random.default_rng(settings.seed).normal(0, RANDOM_SCALE, (encoder.size, settings.embedding))
    embedding = found.astype(np.float32)
    embedding[:known] = old[:known]
    embedding[encoder.first_bucket :] = old[known:]
    if encoder.first_bucket > known and settings.vectors:
        whole = vocabulary.whole_text_encoder()
        ids, vectors = word_vectors((whole.encode(text) for text in texts), encoder.size, settings.embedding)
        shared = ids < known
        added = (ids >= known) & (ids < encoder.first_bucket)
        if shared.sum() > 2 * vectors.shape[1]:
            moved, *_ = np.linalg.lstsq(vectors[shared], old[ids[shared]], rcond=None)
            embedding[ids[added]] = vectors[added] @ moved
    return embedding


def set_weights(network: keras.Model, start: Start) -> None:
    """Give the layers after the embedding the version's weights.

    Raises:
        RegistryError: a weight is missing or has another shape.
    """
    for layer in network.layers:
        if layer.name != "embedding" and any(key.startswith(f"{layer.name}.") for key in start.arrays):
            shapes = [array.shape for array in layer.get_weights()]
            layer.set_weights([_array(start, f"{layer.name}.{at}", shape) for at, shape in enumerate(shapes)])


def _array(start: Start, name: str, shape: tuple[int, ...]) -> Floats:
    found = start.arrays.get(name)
    if found is None or found.shape != shape:
        shown = "missing" if found is None else str(found.shape)
        raise RegistryError(
            f"{weights_file(start.version)}: {name}: {shown}, expected {shape}; train without --warm-start"
        )
    return found
