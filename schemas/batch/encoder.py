"""Many texts to ids at once, by NumPy: the same ids as by `encoding`'s regular expression, in a part of the time.

Owns a table of hashes of the words. Texts become bytes: ASCII as it is, and each other sign that is a token by itself
(such as an emoji) a byte of its own, so that a class for each byte says where tokens begin and end. A token is found by
its first 16 bytes; what has no place in the table is looked up as everywhere else. Words that share a hash are kept out
of the table. `encoding` says which texts can be read here, and what they become.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.batch.id_rows import IdRows, Ids

Bytes = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

SEPARATOR: Final = "\0"
FIRST_SIGN: Final = 0x80  # bytes from here on are signs that the caller chose
_BLANK, _WORD, _EXCLAMATION, _QUESTION, _DOT, _SIGN, _END = range(7)
_CHUNK_BYTES: Final = 16_384  # with what is computed of it, it fits the second-level cache
MOST_CHARS: Final = _CHUNK_BYTES - 1  # of a text
_LOAD: Final = 8  # bytes that are read at once
_MOST_BYTES: Final = 2 * _LOAD  # of a word in the table
_PROBES: Final = 3
_MIN_BITS: Final = 12
# Odd constants whose bits look random: 2**64 over the golden ratio, and those of Rrmxmx (Pelle Evensen 2018).
_LOW: Final = np.uint64(0x9E3779B97F4A7C15)
_HIGH: Final = np.uint64(0x9FB21C651E98DF25)
_MIX: Final = np.uint64(0xD6E8FEB86659FD93)
_HALF: Final = np.uint64(32)


def _classes() -> bytes:
    """Return what each byte is: the alternatives of `encoding._ASCII_TOKEN`, in any case."""
    found = bytearray([_BLANK] * 128 + [_SIGN] * 128)
    for code in (*range(1, 9), *range(14, 28), *range(33, 128)):  # the others are white space
        found[code] = _SIGN
    for code in b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789":
        found[code] = _WORD
    found[ord("_")] = _BLANK  # \w, but in no word
    found[ord("!")], found[ord("?")], found[ord(".")], found[0] = _EXCLAMATION, _QUESTION, _DOT, _END
    return bytes(found)


_CLASS: Final = _classes()
_MASK: Final = np.array([(1 << 8 * size) - 1 for size in range(_LOAD + 1)], np.uint64)  # the bytes of a shorter token


class BatchEncoder:
    """Finds the ids of tokens by their hashes.

    Args:
        table: surface form to id.
        signs: the token that each byte from `FIRST_SIGN` on stands for.
        look_up: gives the id of a token.
    """

    def __init__(self, table: Mapping[str, int], signs: Sequence[str], look_up: Callable[[str], int]) -> None:
        self._look_up = look_up
        self._signs = str.maketrans({chr(FIRST_SIGN + number): sign for number, sign in enumerate(signs)})
        words = {
            word.encode("latin-1"): found
            for word, found in table.items()
            if word.isascii() and 0 < len(word) <= _MOST_BYTES and SEPARATOR not in word
        }
        words |= {bytes([FIRST_SIGN + number]): look_up(sign) for number, sign in enumerate(signs)}
        bits = max(_MIN_BITS, (4 * len(words)).bit_length())
        self._shift = np.uint64(64 - bits)
        self._keys = np.zeros((1 << bits) + 256, np.uint64)
        self._ids = np.zeros((1 << bits) + 256, np.int32)
        self._room = 1 << (bits - 1)  # how many more tokens are kept; a table that is half full is still fast
        self._lock = threading.Lock()
        known: dict[int, int] = {}
        self._shared = {0}  # hashes of several words
        for found, key in zip(words.values(), word_hashes(list(words)), strict=True):
            if key in known:
                self._shared.add(key)
            known[key] = found
        keys = np.array([*known], np.uint64)
        self._keep(keys, np.ones(len(keys), np.int64), [*known.values()])

    def encode(self, texts: Sequence[str]) -> IdRows:
        """Return the ids of texts, before anything is dropped or cut.

        Args:
            texts: in Latin-1, without null characters, at most `MOST_CHARS` long.
        """
        parts = [self._chunk(chunk) for chunk in _chunks(texts)]
        if len(parts) == 1:
            return IdRows(*parts[0])
        flat = np.concatenate([ids for ids, _ in parts]) if parts else np.empty(0, np.int32)
        sizes = np.cumsum([0, *(len(ids) for ids, _ in parts)])
        ends = [ends + size for (_, ends), size in zip(parts, sizes, strict=False)]
        return IdRows(flat, np.concatenate(ends) if ends else np.empty(0, np.int64))

    def _chunk(self, texts: Sequence[str]) -> tuple[Ids, Places]:
        data = (SEPARATOR.join(texts) + SEPARATOR).encode("latin-1").lower()  # of bytes: ASCII only
        start, end, kind = _tokens(data)
        size = end - start
        keys = _hashes(data, start, size)
        place = (keys >> self._shift).astype(np.int64)
        ids = self._ids.take(place)
        missing = np.flatnonzero((self._keys.take(place) != keys) | (size > _MOST_BYTES))
        for probe in range(1, _PROBES + 1):
            next_place = place[missing] + probe
            hit = (self._keys[next_place] == keys[missing]) & (size[missing] <= _MOST_BYTES)
            ids[missing[hit]] = self._ids[next_place[hit]]
            missing = missing[~hit]
        missing = missing[kind[missing] != _END]
        if len(missing):
            spans = zip(start[missing].tolist(), end[missing].tolist(), strict=True)
            tokens = [data[begin:stop].decode("latin-1").translate(self._signs) for begin, stop in spans]
            ids[missing] = found = [*map(self._look_up, tokens)]
            if self._room:
                self._keep(keys[missing], size[missing], found)
        real = kind != _END
        ends = np.flatnonzero(~real)
        return ids[real], ends - np.arange(len(ends))

    def _keep(self, keys: Hashes, sizes: Places, ids: Sequence[int]) -> None:
        """Keep the ids of tokens that were looked up: most will be met again."""
        places = (keys >> self._shift).tolist()
        with self._lock:
            for key, size, place, found in zip(keys.tolist(), sizes.tolist(), places, ids, strict=True):
                if size > _MOST_BYTES or key in self._shared:
                    continue
                there = self._keys[place : place + _PROBES + 1].tolist()
                if key not in there and 0 in there and self._room:
                    free = place + there.index(0)
                    self._ids[free] = found  # before its key, which another thread may read at once
                    self._keys[free] = key
                    self._room -= 1


def _chunks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    first, size = 0, 0
    for last, text in enumerate(texts):
        if size and size + len(text) >= _CHUNK_BYTES:
            yield texts[first:last]
            first, size = last, 0
        size += len(text) + 1
    if first < len(texts):
        yield texts[first:]


def _tokens(data: bytes) -> tuple[Places, Places, Bytes]:
    """Return where each token begins and ends, and its kind; the end of a text is one."""
    kind = np.frombuffer(bytearray(data.translate(_CLASS)), np.uint8)
    if b"'" in data:
        inner = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("'"))
        inner = inner[inner > 0]
        kind[inner[(kind[inner - 1] == _WORD) & (kind[inner + 1] == _WORD)]] = _WORD
    change = np.empty(len(kind) + 1, bool)
    change[0] = change[-1] = True
    np.not_equal(kind[1:], kind[:-1], out=change[1:-1])
    change[1:-1] |= kind[1:] >= _SIGN  # each sign is a token of its own
    start = np.flatnonzero(change)
    found = kind.take(start[:-1])
    seen = np.flatnonzero(found)  # not blank
    return start.take(seen), start.take(seen + 1), found.take(seen)


def _hashes(data: bytes, start: Places, size: Places) -> Hashes:
    """Return the hash of the first bytes of each token."""
    # Eight bytes from each position on, whatever its alignment; the zeros are read with the last token.
    loads = np.ndarray((len(data) + _LOAD + 1,), "<u8", data + bytes(2 * _LOAD), strides=(1,))
    keys: Hashes = loads.take(start)
    keys &= _MASK.take(size, mode="clip")
    keys *= _LOW
    high = loads.take(start + _LOAD, mode="clip")
    high &= _MASK.take(size - _LOAD, mode="clip")
    high *= _HIGH
    keys ^= high
    keys ^= keys >> _HALF
    keys *= _MIX
    return keys


def word_hashes(words: Sequence[bytes]) -> list[int]:
    """Return the hash of each word, by its first 16 bytes."""
    ends = np.cumsum([len(word) + 1 for word in words], dtype=np.int64)
    sizes = np.array([len(word) for word in words], dtype=np.int64)
    found: list[int] = _hashes(b"\0".join([*words, b""]), ends - sizes - 1, sizes).tolist()
    return found
