"""One training run, from reviews in memory to a published version: the phases, in order.

`begin` has read the reviews. Owns the order; each phase is in a room of its own. A version reaches the registry only
when its TFLite file equals the Keras network and reproduces the golden set. `publish.result` is next: it moves the
channel, if the gate passes.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import keras
import numpy as np
import numpy.typing as npt

from schemas.bundle import Bundle
from schemas.encoding import Encoder
from schemas.inference import Graph, Model
from schemas.label_decision import AnyDecision
from trainer.begin import Ready
from trainer.console import Screen, plain_table
from trainer.data.dataset import Part
from trainer.data.targets import Names, class_shares, said
from trainer.errors import DataError
from trainer.evaluation.baselines import BASELINES, fit_baselines, rival
from trainer.evaluation.behaviour import behave
from trainer.evaluation.doubts import doubts
from trainer.evaluation.label_noise import label_noise
from trainer.evaluation.metrics import evaluate
from trainer.export.convert import convert
from trainer.export.golden import GOLDEN_TEXTS
from trainer.export.parity import (
    Parity,
    changed_ratings,
    compare,
    logits_of,
    random_rows,
    require,
    smallest_faithful,
)
from trainer.export.runtime import open_interpreter
from trainer.network.across import FOLDS, leave_groups_out
from trainer.network.calibrate import fit_certainty, fit_mismatch, fit_mix
from trainer.network.decide import Beliefs, fit_decision
from trainer.network.fit import Examples, Predictor, fit, predictor, seed_everything
from trainer.network.model import Weights, build, join, weights_of
from trainer.network.warm_start import (
    Start,
    grown,
    set_weights,
    warm_embedding,
    weights_bytes,
)
from trainer.network.wide import Wide, fit_wide
from trainer.publish.bundle import Run, VariantTest, make
from trainer.publish.channel import ask_gate, contender_of
from trainer.publish.report import render
from trainer.registry.registry import Registry
from trainer.settings import TrainSettings, Variant
from trainer.text.vocabulary import Vocabulary, learn
from trainer.text.word_vectors import start_of_embedding

Floats = npt.NDArray[np.float32]

VARIANT_TEST_ROWS = 2000  # test texts on which the variants are compared
VARIANTS: tuple[Variant, ...] = ("float32", "float16", "int8")


class Learned(NamedTuple):
    """The joined network: its weights, its logits of the validation side, the weights of the deep and wide logits."""

    weights: Weights
    predict: Predictor
    logits: Floats
    shares: tuple[float, float]


class Converted(NamedTuple):
    """The file to publish, and the comparison of every variant with Keras."""

    graph: bytes
    parity: Parity
    parities: list[Parity]
    graphs: dict[Variant, bytes]


def train(ready: Ready, screen: Screen) -> Run:
    """Run every phase after the reading and publish the version; `result.finish` moves the channel.

    Each error below leaves the registry unchanged.

    Raises:
        TrainerError: the TFLite file is not the network, or the registry cannot be written.
        BundleError: the bundle does not reproduce its own golden set.
        KeyboardInterrupt: Ctrl-C before there was a model to keep.
    """
    settings, registry, start, dataset, texts = ready
    seed_everything(settings.seed)
    with screen.phase("vocabulary"):
        vocabulary = _vocabulary(settings, dataset.train.texts, texts, start)
        encoder = vocabulary.encoder()
        train, validation = (_encoded(encoder, dataset.part(side)) for side in ("train", "validation"))
    with screen.phase("vectors"):
        embedding = _embedding(settings, vocabulary, [*dataset.train.texts, *texts], start)
    with screen.phase("wide"):
        classes = len(dataset.labels)
        wide = fit_wide(train.rows, train.targets, encoder.size, classes, settings) if settings.wide else None
    with screen.phase("groups", steps=FOLDS):
        groups = dataset.train.groups
        left_out = leave_groups_out(
            train.rows, train.targets, groups, encoder.size, dataset.labels, settings, screen.advance
        )
    with screen.phase("fit"):
        prior = class_shares(train.targets, classes)
        odds = settings.task == "labels"
        network = build(settings, encoder.size, prior, settings.seed, embedding=embedding, odds=odds)
        if start is not None:
            set_weights(network, start)
        epochs = fit(network, train.cut(settings.learn_tokens), validation, settings, screen)
    with screen.phase("calibrate"):
        learned = _join(settings, network, wide, validation)
        beliefs = Beliefs(learned.predict, learned.logits, prior, left_out)
        decision = fit_decision(settings, encoder, beliefs, validation, dataset.labels)
    with screen.phase("convert", steps=len(_wanted(settings))):
        converted = _convert(settings, encoder, learned, validation, decision, screen.advance)
        model = Model(encoder, Graph(open_interpreter(converted.graph)), decision)
    _say_variants(converted, screen)
    with screen.phase("evaluate"):
        evaluation = evaluate(model, dataset.test)
        rows = encoder.encode_all(dataset.test.texts)
        variant_tests = _test_variants(converted, learned, model, Examples(rows, dataset.test.targets))
    with screen.phase("baselines", steps=BASELINES if settings.baselines else 0):
        baselines = fit_baselines(dataset, screen.advance) if settings.baselines else {}
    with screen.phase("gate"):
        ours = contender_of(model, evaluation, converted.parity)
        replaces = registry.channels().get(settings.channel)
        doubted = doubts(evaluation, rival(baselines), learned.shares, wide=settings.wide)
        serving, verdict = ask_gate(registry, settings, dataset, ours, doubted)
    certainty = fit_certainty(model, validation, evaluation, settings.certain_accuracy)
    with screen.phase("publish"):
        run = Run(
            settings=settings,
            dataset=dataset,
            vocabulary=vocabulary,
            epochs=epochs,
            shares=learned.shares,
            parities=converted.parities,
            parity=converted.parity,
            variant_tests=variant_tests,
            graph=converted.graph,
            model=model,
            rows=rows,
            evaluation=evaluation,
            left_out=left_out,
            behaviour=behave(model, certainty.min_confidence),
            certainty=certainty,
            mismatch=None if odds else fit_mismatch(model, validation, evaluation, settings.mismatch_rate),
            baselines=baselines,
            serving=serving,
            replaces=replaces,
            verdict=verdict,
            doubts=doubted,
            noise=None if odds else label_noise(dataset.sides, evaluation),
            weights=weights_bytes(network),
            started_from=None if start is None else start.version,
            seconds=screen.seconds,
            now=datetime.now(UTC),
        )
        _publish(run, registry)
    return run


def _encoded(encoder: Encoder, part: Part) -> Examples:
    return Examples(encoder.encode_all(part.texts), part.targets)


def _vocabulary(
    settings: TrainSettings, texts: Sequence[str], unlabelled_texts: Sequence[str], start: Start | None
) -> Vocabulary:
    if start is None:
        return learn(texts, settings, unlabelled_texts)
    return grown(texts, settings, unlabelled_texts, start)


def _embedding(
    settings: TrainSettings, vocabulary: Vocabulary, texts: Sequence[str], start: Start | None
) -> Floats | None:
    """Return the initial embedding; its word vectors are of whole texts, even where the model reads fewer tokens."""
    if start is not None:
        return warm_embedding(vocabulary, texts, settings, start)
    if not settings.vectors:
        return None
    encoder = vocabulary.whole_text_encoder()
    rows = (encoder.encode(text) for text in texts)
    return start_of_embedding(rows, encoder.size, settings.embedding, settings.seed)


def _join(settings: TrainSettings, network: keras.Model, wide: Wide | None, validation: Examples) -> Learned:
    """Join the deep and the wide part, weighted by the validation side."""
    shares = (1.0, 0.0)
    if wide is not None:
        shares = fit_mix(predictor(network)(validation.rows), wide.logits(validation.rows), validation.targets)
        wide = wide.scaled(shares[1])
    joined = join(network, shares[0], wide)
    predict = predictor(joined)
    return Learned(weights_of(joined, settings), predict, predict(validation.rows), shares)


def _wanted(settings: TrainSettings) -> tuple[Variant, ...]:
    return VARIANTS if settings.variant == "auto" else tuple({"float32": 0, settings.variant: 0})


def _convert(
    settings: TrainSettings,
    encoder: Encoder,
    learned: Learned,
    validation: Examples,
    decision: AnyDecision,
    advance: Callable[[], None],
) -> Converted:
    """Convert the variants of the settings, compare each with Keras, and choose one.

    float32 is always converted: when it differs from the network, the graph is wrong and nothing may be published.
    """
    probe = [*encoder.encode_all(GOLDEN_TEXTS), *random_rows(encoder.size, settings.seed)]
    probes = (probe, learned.predict(probe))
    texts = (validation.rows, learned.logits)
    graphs: dict[Variant, bytes] = {}
    parities: list[Parity] = []
    for variant in _wanted(settings):
        content = graphs[variant] = convert(learned.weights, variant)
        parities.append(compare(variant, content, Graph(open_interpreter(content)), probes, texts, decision))
        advance()
    require(parities[0])
    chosen = smallest_faithful(parities) if settings.variant == "auto" else parities[-1]
    require(chosen)
    return Converted(graphs[chosen.variant], chosen, parities, graphs)


def _test_variants(converted: Converted, learned: Learned, model: Model, test: Examples) -> list[VariantTest]:
    """Rate the first test texts with every variant; for the report only, validation has chosen the variant."""
    rows = test.rows[:VARIANT_TEST_ROWS]
    expected = learned.predict(rows)
    decision, count = model.decision, len(model.decision.labels)
    found = []
    for variant, content in converted.graphs.items():
        graph = Graph(open_interpreter(content))
        logits_of(graph, rows, count)  # the first run allocates buffers
        started = monotonic()
        logits = logits_of(graph, rows, count)
        speed = len(rows) / max(monotonic() - started, 1e-9)
        right = ~decision.differ(decision.choices(decision.probabilities(logits)), test.targets[:VARIANT_TEST_ROWS])
        changed = changed_ratings(decision, expected, logits)
        found.append(VariantTest(variant, len(rows), changed, float(right.mean()), speed))
    return found


def _publish(run: Run, registry: Registry) -> None:
    """Check the golden set through the bundle as a worker does, then publish."""
    manifest, files = make(run, render(run))
    Bundle(manifest, run.graph, run.vocabulary.table).load(open_interpreter)
    if run.settings.test_out is not None:
        _write_part(run.settings.test_out, run.dataset.test, run.dataset.labels)
    if run.settings.publish:
        registry.publish(manifest.version, files, run.weights)


def _write_part(path: Path, part: Part, labels: Names) -> None:
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("content", "score" if part.targets.ndim == 1 else "labels"))
            writer.writerows(zip(part.texts, said(part.targets, labels), strict=True))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; choose another --test-out") from error


def _say_variants(converted: Converted, screen: Screen) -> None:
    rows = [
        (
            f"{parity.variant}{' *' if parity is converted.parity else ''}",
            f"{parity.size_bytes / 1e6:.2f} MB",
            f"{parity.probability_error:.1e}",
            f"{parity.neighbour_error:.1e}",
            str(parity.changed),
        )
        for parity in converted.parities
    ]
    columns = ("variant", "size", "difference from Keras", "effect of the batch", "ratings changed")
    screen.note(plain_table("TFLite (* is published)", columns, rows))
