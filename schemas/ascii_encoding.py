"""Many plain ASCII texts to ids at once, by NumPy: the same ids as by `encoding`'s regular expression, in less time.

Owns a table of hashes of the words. A token is found by the hash of its bytes; one that is not there is looked up as
everywhere else. The hash is a polynomial over 64 bits (Karp and Rabin 1987, "Efficient randomized pattern-matching
algorithms"), so a prefix sum gives that of every token of a batch. Words that share a hash are kept out of the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint64]
Ids = npt.NDArray[np.int32]
Places = npt.NDArray[np.int64]

SEPARATOR: Final = 0
_BLANK, _WORD, _EXCLAMATION, _QUESTION, _DOT, _SIGN, _END = range(7)
_CHUNK_BYTES: Final = 16_384  # with its hashes it fits the second-level cache
MOST_CHARS: Final = _CHUNK_BYTES - 1  # of a text
_MOST_WORD_CHARS: Final = 64  # longer words are looked up
_WORDS_AT_ONCE: Final = 1000
_PROBES: Final = 3
_MIN_BITS: Final = 17
_ROOT: Final = 0x9E3779B97F4A7C15  # 2**64 over the golden ratio, odd, so it has an inverse modulo 2**64
_MIX: Final = np.uint64(0xD6E8FEB86659FD93)  # Rrmxmx, Pelle Evensen 2018
_HALF: Final = np.uint64(32)


def _classes() -> Bytes:
    """Return what each byte is: the alternatives of `encoding._ASCII_TOKEN`, case folded."""
    found = np.full(256, _BLANK, np.uint8)
    found[[*range(1, 9), *range(14, 28), *range(33, 128)]] = _SIGN  # the others are white space
    found[[*b"abcdefghijklmnopqrstuvwxyz0123456789"]] = _WORD
    found[ord("_")] = _BLANK  # \w, but in no word
    found[ord("!")], found[ord("?")], found[ord(".")], found[SEPARATOR] = _EXCLAMATION, _QUESTION, _DOT, _END
    return found


def _powers(root: int) -> Hashes:
    steps = np.full(_CHUNK_BYTES, root, np.uint64)
    steps[0] = 1
    return np.multiply.accumulate(steps)


_CLASS: Final = _classes()
_UP: Final = _powers(_ROOT)
_DOWN: Final = _powers(pow(_ROOT, -1, 1 << 64))
_VALUE: Final = np.random.default_rng(7).integers(1, 1 << 63, 256, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


class AsciiEncoder:
    """Finds the ids of tokens by their hashes.

    Args:
        table: surface form to id.
        look_up: gives the id of a token that has no place in the table of hashes.
    """

    def __init__(self, table: Mapping[str, int], look_up: Callable[[str], int]) -> None:
        self._look_up = look_up
        words = [word for word in table if word.isascii() and 0 < len(word) <= _MOST_WORD_CHARS and "\0" not in word]
        bits = max(_MIN_BITS, (4 * len(words)).bit_length())
        self._shift = np.uint64(64 - bits)
        self._keys = np.zeros((1 << bits) + 256, np.uint64)
        self._ids = np.zeros((1 << bits) + 256, np.int32)
        known: dict[int, str | None] = {}
        for word, key in zip(words, _hashes_of(words), strict=True):
            known[key] = None if key in known or key == 0 else word
        for key, only in known.items():
            place = key >> (64 - bits)
            while self._keys[place]:
                place += 1
            if only is not None:
                self._keys[place], self._ids[place] = key, table[only]

    def encode(self, texts: Sequence[str]) -> Iterator[Ids]:
        """Yield the ids of each text, `int32[n]`, before anything is dropped or cut.

        Args:
            texts: in ASCII and lower case, without null bytes, at most `MOST_CHARS` long.
        """
        first, size = 0, 0
        for last, text in enumerate(texts):
            if size and size + len(text) >= _CHUNK_BYTES:
                yield from self._chunk(texts[first:last])
                first, size = last, 0
            size += len(text) + 1
        if first < len(texts):
            yield from self._chunk(texts[first:])

    def _chunk(self, texts: Sequence[str]) -> Iterator[Ids]:
        data = ("\0".join(texts) + "\0").encode("ascii")
        code = np.frombuffer(data, np.uint8)
        start, end, kind = _tokens(code)
        keys = _hashes(code, start, end)
        place = (keys >> self._shift).astype(np.int64)
        ids = self._ids[place]
        missing = np.flatnonzero(self._keys[place] != keys)
        for probe in range(1, _PROBES + 1):
            next_place = place[missing] + probe
            hit = self._keys[next_place] == keys[missing]
            ids[missing[hit]] = self._ids[next_place[hit]]
            missing = missing[~hit]
        ends = np.flatnonzero(kind == _END).tolist()
        missing = missing[kind[missing] != _END]
        if len(missing):
            spans = zip(start[missing].tolist(), end[missing].tolist(), strict=True)
            ids[missing] = [self._look_up(data[begin:stop].decode("ascii")) for begin, stop in spans]
        begin = 0
        for stop in ends:
            yield ids[begin:stop]
            begin = stop + 1


def _tokens(code: Bytes) -> tuple[Places, Places, Bytes]:
    """Return where each token begins and ends, and its kind; the end of a text is one."""
    kind = _CLASS[code]
    inner = np.flatnonzero(code == ord("'"))
    inner = inner[inner > 0]
    kind[inner[(kind[inner - 1] == _WORD) & (kind[inner + 1] == _WORD)]] = _WORD
    change = np.empty(len(kind) + 1, bool)
    change[0] = change[-1] = True
    np.not_equal(kind[1:], kind[:-1], out=change[1:-1])
    change[1:-1] |= kind[1:] >= _SIGN  # each sign is a token of its own
    start = np.flatnonzero(change[:-1])
    found = kind[start]
    end = np.append(start[1:], len(kind))
    seen = found != _BLANK
    return start[seen], end[seen], found[seen]


def _hashes(code: Bytes, start: Places, end: Places) -> Hashes:
    """Return the hash of each span, the same wherever it stands."""
    value = _VALUE[code]
    value *= _UP[: len(code)]
    summed = np.empty(len(code) + 1, np.uint64)
    summed[0] = 0
    np.cumsum(value, out=summed[1:])
    keys: Hashes = summed[end]
    keys -= summed[start]
    keys *= _DOWN[start]
    keys ^= keys >> _HALF
    keys *= _MIX
    return keys


def _hashes_of(words: Sequence[str]) -> Iterator[int]:
    for first in range(0, len(words), _WORDS_AT_ONCE):
        chunk = words[first : first + _WORDS_AT_ONCE]
        ends = np.cumsum([len(word) + 1 for word in chunk])
        code = np.frombuffer(("\0".join(chunk) + "\0").encode("ascii"), np.uint8)
        yield from _hashes(code, np.concatenate([[0], ends[:-1]]), ends - 1).tolist()
