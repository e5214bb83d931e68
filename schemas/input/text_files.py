"""Opens files of text: compressed or not, in the encoding that their first bytes show or that somebody named.

Owns compression, encodings and the endings of names. `files` reads what is in them.
"""

from __future__ import annotations

import codecs
import gzip
import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final, cast

import zstandard

STDIN: Final = "-"
_COMPRESSED: Final = (".gz", ".zst")
_MARKS: Final = {  # UTF-32's first: it begins with UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class FileError(ValueError):
    """A file that cannot be read (the message begins with its path), or a column that it does not have."""


@dataclass(frozen=True, slots=True)
class FileOptions:
    """What a file does not say of itself.

    Raises:
        ValueError: there is no such encoding, or the delimiter is not one character.
    """

    encoding: str | None = None  # None: UTF-8, or what the byte order mark says
    delimiter: str | None = None  # of a CSV; None: the one that gives its header the most columns

    def __post_init__(self) -> None:
        if self.encoding is not None:
            try:
                is_text = codecs.lookup(self.encoding)._is_text_encoding
            except (LookupError, ValueError):
                is_text = False
            if not is_text:  # `hex` and `rot13` are codecs too
                raise ValueError(f"encoding {self.encoding!r}: unknown; expected utf-8, utf-16, cp1252, ...")
        if self.delimiter is not None and len(self.delimiter) != 1:
            raise ValueError(f"delimiter {self.delimiter!r}: expected one character")


NO_OPTIONS: Final = FileOptions()


def ending_of(path: str | Path) -> str:
    """Return what names a file's format, in lower case, without what names its compression."""
    name = Path(str(path).lower())
    return (name.with_suffix("") if name.suffix in _COMPRESSED else name).suffix


@contextmanager
def opened(path: str | Path, encoding: str | None = None) -> Iterator[Iterator[str]]:
    """Open a file, or standard input for `-`, as lines.

    Bytes that are not UTF-8 become lone surrogates, so that their row can be named; in any other encoding they end the
    reading.

    Raises:
        FileError: it cannot be read, is damaged, is not in the encoding that was named, or is UTF-16 without saying so;
            also while it is open.
    """
    name = str(path)
    try:
        with ExitStack() as stack:
            file = io.BufferedReader(stack.enter_context(_unpacked(name)))
            head = file.peek(4)[:4]
            known = encoding or next((known for mark, known in _MARKS.items() if head.startswith(mark)), "utf-8")
            if known == "utf-8" and b"\0" in head[:2]:
                raise FileError(f"{path}: begins like UTF-16 without a byte order mark; name it: --encoding utf-16-le")
            errors = "surrogateescape" if known.startswith("utf-8") else "strict"
            yield stack.enter_context(io.TextIOWrapper(file, encoding=known, errors=errors, newline=""))
    except UnicodeError as error:
        raise FileError(f"{path}: not {known}: {error}; name another --encoding") from error
    except gzip.BadGzipFile as error:
        raise FileError(f"{path}: not a gzip file ({error}); rename it or compress it") from error
    except zstandard.ZstdError as error:
        raise FileError(f"{path}: not a Zstandard file ({error}); rename it or compress it") from error
    except EOFError as error:
        raise FileError(f"{path}: the compressed file ends too early; copy it again") from error
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from error


def _unpacked(name: str) -> io.RawIOBase:
    ending = Path(name.lower()).suffix
    if ending == ".gz":
        return cast("io.RawIOBase", gzip.open(name, "rb"))
    if ending == ".zst":
        return cast("io.RawIOBase", zstandard.open(name, "rb"))
    if name == STDIN and sys.stdin is None:
        raise FileError("-: standard input is closed; name a file")
    if name == STDIN:
        return io.FileIO(sys.stdin.fileno(), closefd=False)
    return io.FileIO(name)


def peek(lines: Iterable[str]) -> tuple[str, Iterator[str]]:
    """Return the first line that is not blank, and all lines."""
    rest = iter(lines)
    seen = []
    for line in rest:
        seen.append(line)
        if line.strip():
            break
    return seen[-1] if seen else "", chain(seen, rest)
