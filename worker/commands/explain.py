"""`explain`: why a text, or a stored rating, has its stars; for people or as JSON.

Owns the look. `worker.model.explaining` explains; the text of a stored rating is read from the input topic, by the
position that the rating names.
"""

from __future__ import annotations

import json
import sys
from contextlib import closing
from types import SimpleNamespace
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.input.value import InvalidReviewError
from schemas.prediction import outcome_of
from schemas.rating import Rating
from schemas.reasons.explain import Explanation
from schemas.review import check_text
from worker.commands.get import decided
from worker.commands.review_texts import ReviewTexts
from worker.errors import ExitCode, ModelError, RegistryError, SettingsError
from worker.model.explaining import Explained, Explainer
from worker.model.loading import serving_version, starter_remark, with_starter
from worker.ops.text import printable
from worker.redis.ratings import RatingsInRedis
from worker.settings import WorkerSettings

_MOST_WORDS: Final = 8  # in the table below the text
_MOST_PAIRS: Final = 4
_FAINT: Final = 0.25  # of the strongest effect; what has less is not coloured strongly
_NONE: Final = 0.02  # likewise; not coloured at all


def run(settings: WorkerSettings, known: SimpleNamespace) -> ExitCode:
    """Explain what was asked for; INPUT when there is no such rating, or no text any more.

    Raises:
        WorkerError: a flag is wrong, there is no bundle, or a service does not answer.
    """
    if (known.text is None) == (known.id is None):
        raise SettingsError('explain: expected a text or --id: explain "love it", explain --id r-1')
    if known.id is not None:
        return _explain_stored(settings, known.id, as_json=known.json)
    try:
        check_text(known.text, settings.max_text_chars)
    except InvalidReviewError as error:
        raise SettingsError(f"explain: {error}") from error
    version = serving_version(with_starter(settings))
    if (remark := starter_remark(settings, version)) is not None:
        print(remark, file=sys.stderr)
    explained = Explainer(settings).explain(known.text, version)
    _show(explained, {}, as_json=known.json)
    return ExitCode.OK


def _explain_stored(settings: WorkerSettings, review_id: str, *, as_json: bool) -> ExitCode:
    rating = RatingsInRedis(settings).rating(review_id)
    if rating is None:
        print(printable(f"{review_id}: no rating: not rated yet, deleted, or too old"), file=sys.stderr)
        return ExitCode.INPUT
    with closing(ReviewTexts(settings)) as texts:
        review = texts.find(rating.source)
    if isinstance(review, str):
        at = rating.source
        where = f"{at.topic}-{at.partition}@{at.offset}"
        missing = f"{review_id}: rated {outcome_of(rating)}, but its text cannot be read from {where}: {review}"
        print(printable(missing), file=sys.stderr)
        return ExitCode.INPUT
    explained = _by_its_version(settings, rating, review.text)
    _show(explained, {"review_id": rating.review_id, "stored": json.loads(rating.to_json())}, as_json=as_json)
    before, after = outcome_of(rating), outcome_of(explained.prediction)
    if (explained.prediction.model_version, after) != (rating.model_version, before):
        now = f"{explained.prediction.model_version} gives {after}"
        print(f"the stored rating is {before}, by {rating.model_version}; {now}", file=sys.stderr)
    return ExitCode.OK


def _by_its_version(settings: WorkerSettings, rating: Rating, text: str) -> Explained:
    """Explain by the version that gave the rating, or by the serving one where the registry has that no more."""
    explainer = Explainer(settings)
    try:
        return explainer.explain(text, rating.model_version)
    except RegistryError:
        raise
    except ModelError:
        return explainer.explain(text, serving_version(settings))


def _show(explained: Explained, more: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({**more, **explained.to_fields()}, ensure_ascii=False))
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(coloured(explained.explanation))
    console.print()
    console.print(_decision(explained, more))
    console.print()
    console.print(_words(explained.explanation, explained.about))


def coloured(found: Explanation) -> Text:
    """Return the text with its words coloured: green pushes the stars up, red down, dim does nothing."""
    shown = (char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in found.text)
    text = Text("".join(shown))  # one for one, so that the places stay
    strongest = max(map(abs, found.effects.tolist()), default=0.0) or 1.0
    for token, effect in zip(found.read, found.effects.tolist(), strict=True):
        share = abs(effect) / strongest
        colour = "green" if effect > 0 else "red"
        style = "dim" if share < _NONE else f"bold {colour}" if share >= _FAINT else colour
        text.stylize(style if token.known else f"{style} underline", token.start, token.end)
    return text


def _decision(explained: Explained, more: dict[str, Any]) -> Table:
    said, found = explained.prediction, explained.explanation
    table = Table(show_header=False, box=None, pad_edge=False)
    if "review_id" in more:
        table.add_row("review_id", Text(printable(more["review_id"])))
    sure = f"{said.confidence:.0%} sure" + (", uncertain" if said.uncertain else "")
    for name, value in decided(said, sure):
        table.add_row(name, value)
    unknown = sum(not token.known for token in found.tokens)
    mark = " (underlined)" if unknown else ""
    table.add_row("tokens", f"{len(found.tokens)}, {len(found.read)} read, {unknown} unknown{mark}")
    table.add_row("decided by", " ".join(map(printable, found.strongest(3))) or "no single word")
    table.add_row("model", said.model_version)
    return table


def _words(found: Explanation, about: str) -> Table:
    """Return the strongest words and pairs with their effects, in stars or in a label's probability."""
    table = Table(show_header=True, box=None, pad_edge=False)
    table.add_column("word")
    table.add_column(f"adds to {about}", justify="right")
    order = sorted(range(len(found.read)), key=lambda at: -abs(found.effects[at]))
    for at in order[:_MOST_WORDS]:
        effect = float(found.effects[at])
        style = "green" if effect > 0 else "red"
        table.add_row(Text(printable(found.read[at].folded)), Text(f"{effect:+.2f}", style=style))
    if found.pair_effects is not None:
        pairs = sorted(zip(found.pair_texts, found.pair_effects.tolist(), strict=True), key=lambda pair: -abs(pair[1]))
        for words, effect in pairs[:_MOST_PAIRS]:
            style = "green" if effect > 0 else "red"
            table.add_row(Text(f"pair: {printable(words)}"), Text(f"{effect:+.2f}", style=style))
    return table
