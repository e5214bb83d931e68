"""The model as a Python object: texts in, predictions out, without Kafka, Redis or settings.

Owns what programs import as `worker.Model`: notebooks, services, and jobs on Spark, Dask or Ray. Reads no environment
variable of ours. `predict` is made of it; the worker's own classifier adds metrics and a record's position.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from os import PathLike, fspath
from typing import Any, Final

from schemas import inference
from schemas.bundle import BundleError
from schemas.channels import CHANNEL_PATTERN, STABLE
from schemas.input.value import InvalidReviewError, number_of
from schemas.manifest import Manifest
from schemas.prediction import PREDICTION_FIELDS, REMARKS, Prediction, fields_of, prediction_values
from schemas.review import DEFAULT_MAX_TEXT_CHARS, Review, check_text
from schemas.starter import starter_version
from worker.errors import ModelError
from worker.model.halving import rate_or_halve, require_numbers
from worker.model.registry import fetch_bundle, resolve_version
from worker.model.remarks import Remarks
from worker.model.runtime import load_runtime
from worker.settings import ReasonsMode, Runtime

_CHUNK_TEXTS: Final = 1024  # rated at once: their arrays take a few megabytes
_Row = tuple[Any, ...]  # the values of a prediction, in the order of its fields


@dataclass(frozen=True, slots=True)
class _Opening:
    """What a model was opened with: all that is needed to open it again in another process."""

    registry: str
    version: str  # of a bundle, which never changes
    min_confidence: float | None
    max_text_chars: int
    runtime: Runtime
    reasons: ReasonsMode


class Model:
    """One version of the model. `Model.open` makes it.

    Thread-safe: calls from several threads take turns, so one model uses one core. More cores are used by processes,
    each with a model of its own. It can be pickled: what is sent is where it came from, not its weights, and a process
    that receives it opens the same version once, however often it is sent there.

    Attributes:
        manifest: of the bundle: its labels, training data, metrics.
        runtime: name and version of the TFLite runtime.
    """

    def __init__(self, opening: _Opening) -> None:
        self._opening = opening
        self._lock = threading.Lock()  # of the model, whose interpreter and cache take one call at a time
        self.runtime, interpreter_factory = load_runtime(opening.runtime)
        bundle = fetch_bundle(opening.registry, opening.version)
        self.manifest: Manifest = bundle.manifest
        try:
            self._model: inference.Model = bundle.load(interpreter_factory)
        except BundleError as error:
            raise ModelError(f"{error} ({self.runtime})") from error
        self._remarks = Remarks(self._model, self.manifest.mismatch, opening.reasons)

    @classmethod
    def open(
        cls,
        registry: str | PathLike[str],
        version: str = STABLE,
        *,
        min_confidence: float | None = None,
        max_text_chars: int = DEFAULT_MAX_TEXT_CHARS,
        runtime: Runtime = "auto",
        reasons: ReasonsMode = "off",
    ) -> Model:
        """Return a model from a registry; blocks while the bundle is fetched, verified and tried on its golden set.

        A channel is looked up once: the model stays on the version it names now.

        Args:
            registry: a folder, or an fsspec URL: `models/`, `s3://bucket/models` (extra `s3`).
            version: a version, or a channel that points at one.
            min_confidence: predictions with less confidence are marked `uncertain`; None: the bundle's own limit.
            max_text_chars: longest text that is rated, in Unicode code points.
            runtime: `litert`, `tflite`, or the first of them that is installed.
            reasons: predictions that name the three words behind them: `low`, those below the middle of the stars, or
                `all`. Such a text is rated once more for each of its words.

        Raises:
            RegistryError: the registry does not answer, or has no such channel.
            ModelError: the version does not exist, is altered, or does not reproduce its golden set.
        """
        place = fspath(registry)
        found = resolve_version(place, version) if re.fullmatch(CHANNEL_PATTERN, version) else version
        return cls(_Opening(place, found, min_confidence, max_text_chars, runtime, reasons))

    @classmethod
    def starter(cls) -> Model:
        """Return the model that comes with this package; `starstream-trainer starter --card` describes it."""
        return cls.open("models", starter_version())

    @property
    def version(self) -> str:
        """The version of the bundle."""
        return self._opening.version

    @property
    def labels(self) -> list[int] | list[str]:
        """The stars it chooses from, ascending, or the names of its labels."""
        return self.manifest.decision.labels

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields that its predictions have: those of labels only a label model's."""
        return self.fields_given(author_scores=False)

    def fields_given(self, *, author_scores: bool) -> tuple[str, ...]:
        """Return the names of the fields of predictions that are made with or without the authors' own stars."""
        remarks = (author_scores and self.manifest.mismatch is not None, self._opening.reasons != "off")
        asked = (name for name, is_asked in zip(REMARKS, remarks, strict=True) if is_asked)
        return (*fields_of(self.manifest.decision), *asked)

    def rate(self, texts: Iterable[object], author_scores: Iterable[object] | None = None) -> list[Prediction | None]:
        """Rate texts, in order; blocks, mostly without the GIL. A list is as fast as it gets at about a thousand.

        None stands for what cannot be rated: not a string (so a table's nulls), blank, too long, with a null byte, or
        refused by the runtime. `check` says why.

        Args:
            texts: the reviews.
            author_scores: their authors' own stars, one for each text; the model never sees them. Where the bundle has
                a rule for it, `mismatch` says whether they contradict the text; None where there are none.

        Raises:
            ValueError: there are more or fewer scores than texts.
        """
        return [None if values is None else Prediction(*values) for values in self._values(texts, author_scores)]

    def columns(self, texts: Iterable[object], author_scores: Iterable[object] | None = None) -> dict[str, list[Any]]:
        """Rate texts as `rate` does and return a table's columns, by the names of a prediction's fields.

        What cannot be rated is None in each. pandas, Polars and Arrow make a table of the answer.

        Raises:
            ValueError: there are more or fewer scores than texts.
        """
        empty = (None,) * len(PREDICTION_FIELDS)
        rows = [empty if values is None else values for values in self._values(texts, author_scores)]
        kept = self.fields_given(author_scores=author_scores is not None)
        return {name: [row[at] for row in rows] for at, name in enumerate(PREDICTION_FIELDS) if name in kept}

    def check(self, text: object) -> str | None:
        """Return why a text cannot be rated; None when it can, unless the runtime refuses it."""
        if not isinstance(text, str):
            return "text: expected a string"
        try:
            check_text(text, self._opening.max_text_chars)
        except InvalidReviewError as error:
            return str(error).replace("WORKER_MAX_TEXT_CHARS", "max_text_chars")
        return None

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how another process gets the same model."""
        return _opened, (self._opening,)

    def _values(self, texts: Iterable[object], author_scores: Iterable[object] | None) -> Iterator[_Row | None]:
        asked = list(texts)
        scores = [None] * len(asked) if author_scores is None else list(author_scores)
        if len(scores) != len(asked):
            raise ValueError(f"author_scores: {len(scores)} for {len(asked)} texts")
        return self._rated([*zip(asked, scores, strict=True)])

    def _rated(self, asked: Sequence[tuple[object, object]]) -> Iterator[_Row | None]:
        for start in range(0, len(asked), _CHUNK_TEXTS):
            chunk = asked[start : start + _CHUNK_TEXTS]
            valid = {
                at: Review(text, score=number_of(score))
                for at, (text, score) in enumerate(chunk)
                if isinstance(text, str) and self.check(text) is None
            }
            with self._lock:
                rated = dict(zip(valid, rate_or_halve(list(valid.values()), self._attempt, _refuse), strict=True))
            yield from map(rated.get, range(len(chunk)))

    def _attempt(self, reviews: Sequence[Review]) -> list[_Row | None]:
        scores = require_numbers(self._model.score([review.text for review in reviews]))
        least = self.manifest.least_confidence(self._opening.min_confidence)
        remarks = self._remarks.of(reviews, scores)
        values = prediction_values(scores, self.manifest.decision, self.version, least)
        return [
            (*said, *(remarks[at].get(name) for name in REMARKS)) if at in remarks else (*said, None, None)
            for at, said in enumerate(values)
        ]


def _refuse(_review: Review, _error: Exception) -> None:
    return None


@lru_cache(maxsize=4)  # a version never changes, so a process that is sent it often needs one of it
def _opened(opening: _Opening) -> Model:
    return Model(opening)
