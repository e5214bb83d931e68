"""Text from strangers, made fit for a terminal.

Owns the escaping: keys, headers and reviews may hold control characters that a terminal would obey.
"""

from __future__ import annotations


def printable(text: str, *, keep: str = "") -> str:
    """Return a text with control characters escaped, except those in `keep`."""
    return "".join(
        character if character.isprintable() or character in keep else character.encode("unicode_escape").decode()
        for character in text
    )
