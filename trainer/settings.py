"""Every setting of the trainer: names, limits and defaults, checked against each other at start.

Owns the flags (one field, one `--kebab-case` flag) and the only reading of the environment. Never acts; `__main__`
parses into these and `train` reads them. The small classes are what each room gets to see; `TrainSettings` is all of
them. A new loss, decision rule or layer is a new value or field here, and a function in `objectives`, `calibrate` or
`model`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.bundle import STABLE
from schemas.encoding import EncoderSettings

Cell = Literal["gru", "lstm"]
Variant = Literal["float32", "float16", "int8"]
PartName = Literal["all", "train", "validation", "test"]
CANDIDATE = "candidate"
Registry = Annotated[str, Field(description="Where versions are: a folder, s3://bucket/path or another fsspec URL.")]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class DataSettings(_Settings):
    """Which reviews, and how they are split."""

    data: Annotated[list[Path], Field(min_length=1, description="CSV, TSV or JSONL (also .gz); repeat for more files.")]
    test_data: Annotated[
        list[Path], Field(description="An official test split; texts that are in it leave --data.")
    ] = []
    text_column: Annotated[str | None, Field(description="Default: the first of content, text, review.")] = None
    score_column: Annotated[str | None, Field(description="Default: the first of score, rating, stars, label.")] = None
    labels: Annotated[list[int], Field(description="Scores allowed, others are bad rows. Default: all found.")] = []
    on_bad_row: Annotated[Literal["skip", "error"], Field(description="Skip and report, or stop at the first.")] = (
        "skip"
    )
    max_bad_share: Annotated[float, Field(ge=0, le=1, description="Stop when more of the rows are bad.")] = 0.05
    min_label_rows: Annotated[int, Field(ge=1, description="A label on fewer rows is an error.")] = 8
    unlabelled: Annotated[
        list[Path], Field(description="Texts without scores, for word vectors only; held-out texts never enter.")
    ] = []
    unlabelled_rows: Annotated[int, Field(ge=1, description="Most distinct texts read from --unlabelled.")] = 500_000
    validation_share: Annotated[float, Field(gt=0, lt=0.5, description="Share of the texts to choose by.")] = 0.1
    test_share: Annotated[float, Field(gt=0, lt=0.5, description="Share of the texts to judge by.")] = 0.1


class TextSettings(_Settings):
    """How text becomes ids; compiled into the bundle's table."""

    normalise: Annotated[
        Literal["none", "lemma", "stem"], Field(description="WordNet lemmas, Snowball stems (NLTK), or words as is.")
    ] = "none"
    stop_words: Annotated[bool, Field(description="Drop NLTK's English stop words, negations kept.")] = False
    vocabulary_size: Annotated[int, Field(ge=10, le=500_000, description="Most words with an id of their own.")] = (
        30_000
    )
    min_count: Annotated[int, Field(ge=1, description="Words seen less often are unknown.")] = 2
    unlabelled_min_count: Annotated[
        int, Field(ge=1, description="Words of --unlabelled seen as often have an id too.")
    ] = 4
    max_tokens: Annotated[
        int | None,
        Field(ge=8, le=4096, description="Longer texts keep head and tail. Default: 99% fit, 64 to 1024."),
    ] = None
    head_share: Annotated[float, Field(ge=0, le=1, description="Share of max-tokens kept from the head.")] = 0.5
    squeeze: Annotated[bool, Field(description="Look an unknown 'sooo' up as 'soo', then 'so'.")] = True
    unknown_buckets: Annotated[int, Field(ge=0, le=65_536, description="Hashed ids that unknown words share.")] = 0

    def encoder(self, fitting_tokens: int) -> EncoderSettings:
        """Return the part of these that the bundle carries; `fitting_tokens` stands in for an open `max_tokens`."""
        return EncoderSettings(
            max_tokens=self.max_tokens or fitting_tokens,
            head_share=self.head_share,
            squeeze=self.squeeze,
            unknown_buckets=self.unknown_buckets,
            normalise=self.normalise,
            stop_words=self.stop_words,
        )


class ModelSettings(_Settings):
    """The architecture; `model` builds it, `convert` writes it in TFLite."""

    cell: Annotated[Cell, Field(description="Recurrent cell.")] = "gru"
    bidirectional: Annotated[bool, Field(description="Read the text both ways; takes twice the time.")] = False
    units: Annotated[int, Field(ge=1, le=1024, description="State size of one direction.")] = 64
    embedding: Annotated[int, Field(ge=1, le=1024, description="Embedding size.")] = 128
    vectors: Annotated[bool, Field(description="Start the embedding from word vectors of the texts.")] = True
    dropout: Annotated[float, Field(ge=0, lt=1, description="Dropout before the logits.")] = 0.5
    embedding_dropout: Annotated[float, Field(ge=0, lt=1, description="Dropout of whole embedding channels.")] = 0.3
    word_dropout: Annotated[float, Field(ge=0, lt=1, description="Share of words read as unknown in training.")] = 0.1
    wide: Annotated[bool, Field(description="Add logistic regression on words and pairs of words to the graph.")] = True
    wide_strength: Annotated[
        float | None, Field(gt=0, description="Its C. Default: 3; 30 for two labels, where words are weighed by label.")
    ] = None
    wide_pairs: Annotated[
        int | None,
        Field(ge=2, le=2**22, description="Buckets that pairs of words share. Default: by the data, 2^16 to 2^19."),
    ] = None


class FitSettings(_Settings):
    """How the weights are found."""

    epochs: Annotated[
        int | None, Field(ge=1, description="Most passes over the data. Default: 4, more when they are short.")
    ] = None
    patience: Annotated[int, Field(ge=1, description="Stop after so many epochs without a better validation.")] = 2
    batch_rows: Annotated[
        int | None, Field(ge=1, description="Reviews in a step. Default: 128, fewer when there are few.")
    ] = None
    learn_tokens: Annotated[
        int, Field(ge=8, le=4096, description="The recurrent part learns from head and tail of longer texts.")
    ] = 320
    learning_rate: Annotated[float, Field(gt=0, le=1, description="AdamW's step size at its peak.")] = 3e-3
    weight_decay: Annotated[float, Field(ge=0, le=1, description="AdamW's; biases are left out.")] = 1e-2
    averaging: Annotated[float, Field(ge=0, lt=1, description="Decay of the averaged weights; 0: none.")] = 0.995
    loss: Annotated[
        Literal["ordinal", "cross-entropy"], Field(description="ordinal adds the ranked probability score.")
    ] = "ordinal"
    imbalance: Annotated[
        Literal["none", "weights", "resample"], Field(description="Weigh rare stars up, or draw them more often.")
    ] = "none"
    seed: Annotated[int, Field(ge=0, le=2**31 - 1, description="Of the split, the weights and the order.")] = 0


class GateSettings(_Settings):
    """How much worse than a channel's version another may be before the channel does not move to it.

    Differences are of the same held-out texts. Each may be its margin or `gate_noise` standard errors, whichever is
    more, so that a small test does not refuse by luck.
    """

    against: Annotated[
        str | None, Field(description="Channel to compare with. Default: --channel itself; stable for candidate.")
    ] = None
    gate_accuracy: Annotated[float, Field(ge=0, description="Loss of accuracy that passes.")] = 0.01
    gate_macro_f1: Annotated[float, Field(ge=0, description="Loss of macro-F1 that passes.")] = 0.02
    gate_mae: Annotated[float, Field(ge=0, description="Stars of mean error more that pass.")] = 0.02
    gate_qwk: Annotated[float, Field(ge=0, description="Loss of quadratic kappa that passes.")] = 0.02
    gate_label_f1: Annotated[float, Field(ge=0, description="Loss of any one star's F1 that passes.")] = 0.05
    gate_ece: Annotated[float, Field(ge=0, description="Calibration error more that passes.")] = 0.02
    gate_noise: Annotated[
        float, Field(ge=0, description="Standard errors of a difference that pass as luck; 0: margins alone.")
    ] = 2.0
    gate_max_ece: Annotated[float, Field(ge=0, description="Most calibration error over what chance shows.")] = 0.1
    # float16 takes 1.5 times int8's, and which of them is published depends on the data: that must pass.
    gate_slower: Annotated[float, Field(gt=0, description="Times the current version's us a review, at most.")] = 2.0
    gate_max_mb: Annotated[float, Field(gt=0, description="Most megabytes of the TFLite file.")] = 64.0

    def rival(self, channel: str) -> str:
        """Return the channel whose version a channel's next one is compared with.

        A candidate is meant to replace what serves, so it is held against that and not against the last candidate.
        """
        return self.against or (STABLE if channel == CANDIDATE else channel)


NOT_RECORDED = {"registry", "publish", "message", "force", "warm_start", "test_out", "texts"}


class TrainSettings(GateSettings, FitSettings, ModelSettings, TextSettings, DataSettings):
    """Learn from labelled reviews, judge the TFLite file on held-out text, publish it, move a channel if it may.

    The channel moves when the gate passes: no worse than the version it points at, on the same held-out texts, by more
    than the gate's margins. Else the table says which rows fail, the version stays in the registry, the channel stays
    where it is, and the exit code is 6.

    Examples:
      python -m trainer sample --out sample.csv
      python -m trainer train --data sample.csv --registry models/
      python -m trainer train --data may.csv --data june.jsonl.gz --text-column body --score-column stars
      python -m trainer train --data reviews.csv --unlabelled stream.csv.gz      # better word vectors
      python -m trainer train --data train.csv --test-data test.csv --channel none --variant float32
      python -m trainer train --data labelled.csv --warm-start stable --publish --channel candidate

    Ctrl-C while it learns keeps the best epoch so far and goes on; a second one, or one at any other time, leaves
    the registry as it was.
    """

    decide: Annotated[
        Literal["auto", "likeliest", "median"],
        Field(description="Which star is said: chosen on validation, the likeliest, or the median."),
    ] = "auto"
    variant: Annotated[
        Literal["auto", "float32", "float16", "int8"],
        Field(description="auto: the smallest file that keeps the ratings of the validation texts."),
    ] = "auto"
    floors: Annotated[bool, Field(description="Also fit the baselines: majority, TF-IDF + logistic regression.")] = True
    texts: Annotated[bool, Field(description="Show the worst mistakes, with their texts, in the report.")] = True
    registry: Registry = "models"
    publish: Annotated[bool, Field(description="Put it into the registry; --no-publish judges only.")] = True
    channel: Annotated[
        str, Field(description="Point this channel at the new version when it passes the gate; none: publish only.")
    ] = STABLE
    message: Annotated[str, Field(max_length=1000, description="Why, for the channel's history.")] = ""
    force: Annotated[bool, Field(description="Move the channel though the gate refuses; the history says so.")] = False
    warm_start: Annotated[
        str | None, Field(description="Start from the weights and words of this version or channel.")
    ] = None
    test_out: Annotated[Path | None, Field(description="Also write the held-out reviews to this CSV.")] = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.validation_share + self.test_share > 0.6:
            raise ValueError("validation-share + test-share: over 0.6; too little is left to learn from")
        if self.min_label_rows > 1 and len(set(self.labels)) == 1:
            raise ValueError("labels: one label only; a model needs at least two")
        return self


class EvaluateSettings(_Settings):
    """Judge a published TFLite file on labelled reviews.

    Examples:
      python -m trainer evaluate --registry models/ --data held_out.csv
      python -m trainer evaluate --version 20260101T120000Z-0a1b2c3d --data held_out.csv --json metrics.json
      python -m trainer evaluate --data reviews.csv --part test    # the rows that training held out of this file
    """

    data: Annotated[list[Path], Field(min_length=1, description="CSV, TSV or JSONL (also .gz); repeat for more files.")]
    registry: Registry = "models"
    version: Annotated[str, Field(description="A version or a channel.")] = STABLE
    part: Annotated[PartName, Field(description="Only the rows training put on this side.")] = "all"
    text_column: Annotated[str | None, Field(description="Default: the first of content, text, review.")] = None
    score_column: Annotated[str | None, Field(description="Default: the first of score, rating, stars, label.")] = None
    max_bad_share: Annotated[float, Field(ge=0, le=1, description="Stop when more of the rows are bad.")] = 0.05
    on_bad_row: Annotated[Literal["skip", "error"], Field(description="Skip and report, or stop at the first.")] = (
        "skip"
    )
    json_out: Annotated[Path | None, Field(alias="json", description="Also write the figures here; -: stdout.")] = None


class SampleSettings(_Settings):
    """Build a labelled sample set: 14,313 sentences of product and film reviews, each rated by 20 people.

    Examples:
      python -m trainer sample --out sample.csv
    """

    out: Annotated[Path, Field(description="CSV to write.")]


def cache_folder() -> Path:
    """Return where downloads are kept: `$XDG_CACHE_HOME/starstream`, else `~/.cache/starstream`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "starstream"


def quiet_libraries() -> None:
    """Ask TensorFlow for warnings only, and for Keras to run on it; call before the first import of either.

    oneDNN's kernels are off: they gain nothing at these sizes and round differently from run to run.
    """
    defaults = {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "0", "KERAS_BACKEND": "tensorflow"}
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def recorded(settings: BaseModel) -> dict[str, Any]:
    """Return the settings as the manifest records them, paths by their last part only."""
    left_out = NOT_RECORDED.union(GateSettings.model_fields)
    found: dict[str, Any] = settings.model_dump(mode="json", exclude=left_out)
    for name in ("data", "test_data", "unlabelled"):
        found[name] = [Path(path).name for path in found.get(name, [])]
    return found
