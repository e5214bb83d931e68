"""Drift: what the trainer counts of its held-out texts, and the worker of its stream, in the same way.

Owns the script of a text, the histograms, and the index that compares two of them. Keeps no window: the worker does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]

# The script of most letters of a text, a cheap substitute for its language. `none` is a text without letters (emoji,
# digits), `other` any script not named here.
SCRIPTS: Final = ("latin", "cyrillic", "greek", "arabic", "hebrew", "indic", "thai", "han", "kana", "hangul")
SCRIPT_BINS: Final = (*SCRIPTS, "other", "none")
_OTHER: Final = SCRIPT_BINS.index("other")
_NONE: Final = SCRIPT_BINS.index("none")
_READ_CHARS: Final = 400
# First code point of each run of blocks, ascending, and its script (Unicode 15, Blocks.txt).
_BLOCKS: Final[tuple[tuple[int, str], ...]] = (
    (0x0000, "none"),
    (0x0041, "latin"),
    (0x005B, "none"),
    (0x0061, "latin"),
    (0x007B, "none"),
    (0x00AA, "latin"),
    (0x00AB, "none"),
    (0x00BA, "latin"),
    (0x00BB, "none"),
    (0x00C0, "latin"),
    (0x0250, "latin"),
    (0x02B0, "none"),
    (0x0370, "greek"),
    (0x0400, "cyrillic"),
    (0x0530, "other"),
    (0x0590, "hebrew"),
    (0x0600, "arabic"),
    (0x0700, "other"),
    (0x0750, "arabic"),
    (0x0780, "other"),
    (0x0900, "indic"),
    (0x0E00, "thai"),
    (0x0E80, "other"),
    (0x1100, "hangul"),
    (0x1200, "other"),
    (0x1C80, "cyrillic"),
    (0x1C90, "other"),
    (0x1E00, "latin"),
    (0x1F00, "greek"),
    (0x2000, "none"),  # punctuation, arrows, signs, dingbats
    (0x2C00, "other"),
    (0x2DE0, "cyrillic"),
    (0x2E00, "none"),
    (0x2E80, "han"),
    (0x3000, "none"),
    (0x3040, "kana"),
    (0x3100, "han"),
    (0x3130, "hangul"),
    (0x3190, "han"),
    (0x31F0, "kana"),
    (0x3200, "none"),
    (0x3400, "han"),
    (0xA000, "other"),
    (0xAC00, "hangul"),
    (0xD800, "none"),  # surrogates, private use
    (0xF900, "han"),
    (0xFB00, "latin"),
    (0xFB13, "other"),
    (0xFB1D, "hebrew"),
    (0xFB50, "arabic"),
    (0xFE00, "none"),
    (0xFE70, "arabic"),
    (0xFEFF, "none"),
    (0xFF21, "latin"),
    (0xFF3B, "none"),
    (0xFF41, "latin"),
    (0xFF5B, "none"),
    (0xFF66, "kana"),
    (0xFFA0, "hangul"),
    (0xFFE0, "none"),
    (0x10000, "other"),
    (0x1F000, "none"),  # emoji
    (0x20000, "han"),
    (0xE0000, "none"),
)
_STARTS: Final = np.array([start for start, _ in _BLOCKS], dtype=np.uint32)
_BIN_OF: Final = np.array([SCRIPT_BINS.index(name) for _, name in _BLOCKS], dtype=np.int64)
_LEAST_SHARE: Final = 1e-4  # an empty bin counts as this, because the logarithm of 0 is infinite


def script_bin(text: str) -> int:
    """Return the index in `SCRIPT_BINS` of the script of most letters in the first 400 characters of a text."""
    text = text[:_READ_CHARS]
    if text.isascii():
        return 0 if text.upper() != text.lower() else _NONE
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    counts = np.bincount(_BIN_OF[np.searchsorted(_STARTS, points, side="right") - 1], minlength=len(SCRIPT_BINS))
    counts[_NONE] = 0
    return int(counts.argmax()) if counts.any() else _NONE


def script_counts(texts: Iterable[str]) -> Counts:
    """Count texts by script, `int64[len(SCRIPT_BINS)]`."""
    bins = np.fromiter(map(script_bin, texts), dtype=np.int64)
    return np.bincount(bins, minlength=len(SCRIPT_BINS))


def histogram(values: npt.NDArray[Any], upper_edges: Sequence[float]) -> Counts:
    """Count values by bins whose upper edges are included; the last bin has none."""
    return np.bincount(np.searchsorted(upper_edges, values, side="left"), minlength=len(upper_edges) + 1)


def stability_index(baseline: Sequence[float], counts: Counts) -> float:
    """Return the population stability index of counts against a baseline's shares, bin by bin.

    sum((a - b) ln(a / b)) over the shares (Siddiqi, "Credit Risk Scorecards", 2006). By its rule of thumb under 0.1 is
    stable, over 0.25 has moved. For n values of an unchanged stream it is about (bins - 1) / n, so few prove nothing.
    """
    expected = np.maximum(np.asarray(baseline, dtype=np.float64), _LEAST_SHARE)
    actual = np.maximum(counts / max(int(counts.sum()), 1), _LEAST_SHARE)
    return float(((actual - expected) * np.log(actual / expected)).sum())
