"""The settings of `train`, `evaluate` and `sample`: names, limits and defaults, checked against each other at start.

Owns the flags (one field is one `--kebab-case` flag) and the only reading of the environment. Never acts: `__main__`
parses into these and `train` reads them. Each small class is what one room sees; `TrainSettings` is all of them. A new
loss, decision rule or layer is a new value or field here, and a function in `network.losses`, `network.calibrate` or
`network.model`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BaseModel, Field, model_validator

from schemas.channels import CANDIDATE, STABLE
from schemas.encoding import EncoderSettings
from trainer.file_settings import Settings
from trainer.task_settings import FileSettings, TaskSettings

Cell = Literal["gru", "lstm"]
Variant = Literal["float32", "float16", "int8"]
PartName = Literal["all", "train", "validation", "test"]
Registry = Annotated[str, Field(description="The registry: a folder, s3://bucket/path or another fsspec URL.")]
Version = Annotated[str, Field(description="A version or a channel.")]
Message = Annotated[str, Field(max_length=1000, description="The reason, for the history.")]
NewChannel = Annotated[
    bool, Field(description="Make --channel if there is none of this name; stable and candidate need no flag.")
]
Force = Annotated[bool, Field(description="Move the channel though the gate refuses; the history says so.")]


class DataSettings(TaskSettings):
    """Which reviews, and how they are split."""

    test_data: list[Path] = Field([], description="An official test set; its texts are removed from --data.")
    unlabelled: list[Path] = Field(
        [], description="Texts without scores, for word vectors only; held-out texts are left out."
    )
    unlabelled_rows: Annotated[int, Field(ge=1, description="Most distinct texts read from --unlabelled.")] = 500_000
    validation_share: Annotated[float, Field(gt=0, lt=0.5, description="Share of the texts for validation.")] = 0.1
    test_share: Annotated[float, Field(gt=0, lt=0.5, description="Share of the texts for the test.")] = 0.1


class TextSettings(Settings):
    """How text becomes ids; compiled into the bundle's table."""

    normalise: Annotated[
        Literal["none", "lemma", "stem"], Field(description="WordNet lemmas or Snowball stems (NLTK), or no change.")
    ] = "none"
    stop_words: Annotated[bool, Field(description="Drop NLTK's English stop words, except negations.")] = False
    vocabulary_size: Annotated[int, Field(ge=10, le=500_000, description="Most words with an id of their own.")] = (
        30_000
    )
    min_count: Annotated[int, Field(ge=1, description="Words seen less often are unknown.")] = 2
    unlabelled_min_count: Annotated[
        int, Field(ge=1, description="Words seen this often with --unlabelled have an id too.")
    ] = 4
    max_tokens: Annotated[
        int | None,
        Field(ge=8, le=4096, description="Longer texts keep their head and tail. Default: 99% fit, 64 to 1024."),
    ] = None
    head_share: Annotated[float, Field(ge=0, le=1, description="Share of max-tokens kept from the head.")] = 0.5
    squeeze: Annotated[bool, Field(description="Look an unknown 'sooo' up as 'soo', then 'so'.")] = True
    spelling: Annotated[
        bool, Field(description="Read a rare word that is one typing error from a common one as that word.")
    ] = True
    unknown_buckets: Annotated[int, Field(ge=0, le=65_536, description="Hashed ids that unknown words share.")] = 0

    def encoder(self, fitting_tokens: int) -> EncoderSettings:
        """Return the settings that the bundle carries; `fitting_tokens` is the default of `max_tokens`."""
        return EncoderSettings(
            max_tokens=self.max_tokens or fitting_tokens,
            head_share=self.head_share,
            squeeze=self.squeeze,
            unknown_buckets=self.unknown_buckets,
            normalise=self.normalise,
            stop_words=self.stop_words,
        )


class ModelSettings(Settings):
    """The architecture; `network.model` builds it, `export.convert` writes it in TFLite."""

    cell: Annotated[Cell, Field(description="Recurrent cell.")] = "gru"
    bidirectional: Annotated[bool, Field(description="Read the text in both directions; doubles the time.")] = False
    units: Annotated[int, Field(ge=1, le=1024, description="State size of one direction.")] = 64
    embedding: Annotated[int, Field(ge=1, le=1024, description="Embedding size.")] = 128
    vectors: Annotated[bool, Field(description="Initialise the embedding with word vectors of the texts.")] = True
    dropout: Annotated[float, Field(ge=0, lt=1, description="Dropout before the logits.")] = 0.5
    embedding_dropout: Annotated[float, Field(ge=0, lt=1, description="Dropout of whole embedding channels.")] = 0.3
    word_dropout: Annotated[float, Field(ge=0, lt=1, description="Share of words read as unknown in training.")] = 0.1
    wide: Annotated[bool, Field(description="Add logistic regression on words and pairs of words to the graph.")] = True
    wide_strength: Annotated[
        float | None, Field(gt=0, description="Its C. Default: 3, or 30 for two labels (naive Bayes weights).")
    ] = None
    wide_pairs: Annotated[
        int | None,
        Field(ge=2, le=2**22, description="Buckets that pairs of words share. Default: by the data, 2^16 to 2^19."),
    ] = None


class FitSettings(Settings):
    """How the recurrent part is trained."""

    epochs: Annotated[
        int | None, Field(ge=1, description="Most passes over the data. Default: 4, more for small data.")
    ] = None
    patience: Annotated[int, Field(ge=1, description="Stop after this many epochs without improvement.")] = 2
    batch_rows: Annotated[
        int | None, Field(ge=1, description="Reviews a step. Default: 128, fewer for small data.")
    ] = None
    learn_tokens: Annotated[
        int, Field(ge=8, le=4096, description="The recurrent part is trained on head and tail of longer texts.")
    ] = 320
    learning_rate: Annotated[float, Field(gt=0, le=1, description="AdamW's peak step size.")] = 3e-3
    weight_decay: Annotated[float, Field(ge=0, le=1, description="AdamW's; not applied to biases.")] = 1e-2
    averaging: Annotated[float, Field(ge=0, lt=1, description="Decay of the averaged weights; 0: none.")] = 0.995
    loss: Annotated[
        Literal["ordinal", "cross-entropy"], Field(description="ordinal adds the ranked probability score.")
    ] = "ordinal"
    imbalance: Annotated[
        Literal["none", "weights", "resample"],
        Field(description="Give rare stars more weight, or draw them more often."),
    ] = "none"
    seed: Annotated[int, Field(ge=0, le=2**31 - 1, description="Of the split, the weights and the order.")] = 0


class GateSettings(Settings):
    """How much worse than a channel's version a new one may be for the channel to move to it.

    Both are compared on the same held-out texts. A difference may be its margin or `gate_noise` standard errors,
    whichever is more, so that a small test set does not refuse by chance.
    """

    against: Annotated[
        str | None, Field(description="Channel to compare with. Default: --channel itself; stable for candidate.")
    ] = None
    gate_accuracy: Annotated[float, Field(ge=0, description="Largest loss of accuracy.")] = 0.01
    gate_macro_f1: Annotated[float, Field(ge=0, description="Largest loss of macro-F1.")] = 0.02
    gate_mae: Annotated[float, Field(ge=0, description="Largest increase of the mean error, in stars.")] = 0.02
    gate_qwk: Annotated[float, Field(ge=0, description="Largest loss of quadratic kappa.")] = 0.02
    gate_label_f1: Annotated[float, Field(ge=0, description="Largest loss of the F1 of any star.")] = 0.05
    gate_group_accuracy: Annotated[float, Field(ge=0, description="Largest loss of accuracy in any group.")] = 0.03
    gate_ece: Annotated[float, Field(ge=0, description="Largest increase of the calibration error.")] = 0.02
    gate_noise: Annotated[
        float, Field(ge=0, description="Standard errors of a difference that count as chance; 0: margins alone.")
    ] = 2.0
    gate_max_ece: Annotated[float, Field(ge=0, description="Largest calibration error beyond chance.")] = 0.1
    # float16 takes 1.5 times as long as int8, and the data decides which one is published: that must pass.
    gate_slower: Annotated[
        float, Field(gt=0, description="Largest CPU time a review, in times the current version's.")
    ] = 2.0
    gate_max_mb: Annotated[float, Field(gt=0, description="Largest size of the TFLite file, in megabytes.")] = 64.0

    def compared_channel(self, channel: str) -> str:
        """Return the channel whose version is compared with the next version of `channel`.

        A candidate is meant to replace the serving version, so it is compared with that, not with the last candidate.
        """
        return self.against or (STABLE if channel == CANDIDATE else channel)


NOT_RECORDED = {"registry", "publish", "message", "force", "warm_start", "test_out", "texts"}


class TrainSettings(GateSettings, FitSettings, ModelSettings, TextSettings, DataSettings):
    """Train on labelled reviews, evaluate the TFLite file on held-out text, publish it, move a channel.

    The channel moves when the gate passes: on the same held-out texts the new version is not worse than the channel's
    by more than the gate's margins. Otherwise the table shows the rows that fail, the version stays in the registry,
    the channel does not move, and the exit code is 6.

    Examples:
      starstream-trainer sample sample.csv
      starstream-trainer train sample.csv --registry models/
      starstream-trainer train may.csv june.jsonl.gz --text-field body
      starstream-trainer train reviews.csv --unlabelled stream.csv.gz
      starstream-trainer train train.csv --test-data test.csv --channel none
      starstream-trainer train emotions.csv --task labels  # joy|love
      starstream-trainer train toxic.csv --task labels --label-columns insult,threat
      starstream-trainer train labelled.csv --warm-start stable --channel candidate

    Ctrl-C during the training keeps the best epoch so far and continues; a second Ctrl-C, or one at any other time,
    leaves the registry unchanged.
    """

    decide: Annotated[
        Literal["auto", "likeliest", "median"],
        Field(description="The predicted star: by costs chosen on validation, the likeliest, or the median."),
    ] = "auto"
    certain_accuracy: Annotated[
        float,
        Field(gt=0, le=1, description="Ratings too unsure for this accuracy on validation are marked uncertain."),
    ] = 0.85
    mismatch_rate: Annotated[
        float, Field(gt=0, le=0.5, description="Most false alarms when authors' stars are said to contradict the text.")
    ] = 0.01
    variant: Annotated[
        Literal["auto", "float32", "float16", "int8"],
        Field(description="auto: the smallest file that keeps the ratings of the validation texts."),
    ] = "auto"
    baselines: Annotated[
        bool,
        Field(
            validation_alias=AliasChoices("baselines", "floors"),
            description="Also fit the baselines: majority, TF-IDF + logistic regression.",
        ),
    ] = True
    texts: Annotated[bool, Field(description="Show the worst mistakes, with their texts, in the report.")] = True
    keep_personal_data: Annotated[
        bool, Field(description="Do not mask e-mail addresses, phone, card and IBAN numbers in the report's texts.")
    ] = False
    registry: Registry = "models"
    publish: Annotated[bool, Field(description="Add it to the registry; --no-publish only evaluates.")] = True
    channel: Annotated[
        str, Field(description="Point this channel at the new version when the gate passes; none: publish only.")
    ] = STABLE
    new_channel: NewChannel = False
    message: Message = ""
    force: Force = False
    warm_start: Annotated[
        str | None, Field(description="Start from the weights and words of this version or channel.")
    ] = None
    test_out: Annotated[Path | None, Field(description="Also write the held-out reviews to this CSV.")] = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.validation_share + self.test_share > 0.6:
            raise ValueError("--validation-share + --test-share: over 0.6; too little is left for training")
        of_stars = {"imbalance": "none", "loss": "ordinal", "decide": "auto"}
        wrong = [name for name, usual in of_stars.items() if self.task == "labels" and getattr(self, name) != usual]
        if wrong:
            raise ValueError(f"--{wrong[0]}: is for stars; a label model has one loss, and thresholds")
        if self.task == "stars" and self.min_label_rows > 1 and len(set(self.labels)) == 1:
            raise ValueError("--labels: one label only; a model needs at least two")
        return self


class EvaluateSettings(FileSettings):
    """Evaluate a published TFLite file on labelled reviews.

    Examples:
      starstream-trainer evaluate held_out.csv --registry models/
      starstream-trainer evaluate held_out.csv --version candidate --json -
      starstream-trainer evaluate reviews.csv --part test
    """

    registry: Registry = "models"
    version: Version = STABLE
    part: Annotated[PartName, Field(description="Only the rows on this side of the training's split.")] = "all"
    json_out: Annotated[Path | None, Field(alias="json", description="Also write the figures here; -: stdout.")] = None


class SampleSettings(Settings):
    """Build a labelled sample set: 14,313 sentences of product and film reviews, each rated by 20 people.

    Examples:
      starstream-trainer sample sample.csv
    """

    out: Annotated[Path, Field(description="CSV to write.")]


def cache_folder() -> Path:
    """Return the folder of downloads: `$XDG_CACHE_HOME/starstream`, else `~/.cache/starstream`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "starstream"


def quiet_libraries() -> None:
    """Set TensorFlow's log level and Keras' backend; call before the first import of either.

    oneDNN's kernels are off: they are no faster at these sizes and round differently from run to run.
    """
    defaults = {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "0", "KERAS_BACKEND": "tensorflow"}
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def recorded(settings: BaseModel) -> dict[str, Any]:
    """Return the settings as the manifest records them, with the names of files instead of their paths."""
    left_out = NOT_RECORDED.union(GateSettings.model_fields)
    found: dict[str, Any] = settings.model_dump(mode="json", exclude=left_out)
    for name in ("data", "test_data", "unlabelled"):
        found[name] = [Path(path).name for path in found.get(name, [])]
    return found
