"""Misspellings: rare words that are one typing error away from a common one, read as that word.

Owns the rule. The corrections go into the table surface -> id that the worker reads, so nothing is searched when a text
is rated, and a word that no training text and no unlabelled text has stays unknown. `vocabulary` compiles them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

SHORTEST = 5  # letters of both words: among shorter ones most neighbours are other words
TIMES = 25  # how many times as often the common word must be seen
TIMES_OF_ANOTHER_LETTER = 300  # with one letter for another: "lived" is no misspelling of "loved"
MOST_LABELLED = 4  # labelled texts teach a word that they have more often


def corrections(labelled: Mapping[str, int], seen: Mapping[str, int]) -> dict[str, str]:
    """Return the common word for each misspelling.

    One letter too many, too few, wrong, or two neighbours swapped (Damerau 1964: four in five typing errors), but for
    the first letter, which is rarely wrong (Yannakoudakis & Fawthrop 1983). Of several common words the most common.

    Args:
        labelled: how often each word is seen in labelled texts.
        seen: how often in these and the unlabelled ones.
    """
    words = {word: count for word, count in seen.items() if _can_be_misspelled(word)}
    by_deletion: defaultdict[str, list[str]] = defaultdict(list)
    for word, count in words.items():
        if count >= TIMES:
            for short in _deletions(word):
                by_deletion[short].append(word)
    found = {}
    for word, count in words.items():
        if labelled.get(word, 0) > MOST_LABELLED:
            continue
        near = {common for short in _deletions(word) for common in by_deletion.get(short, ())}
        common = [other for other in near if (times := _times(word, other)) and words[other] >= times * count]
        if common:
            found[word] = max(common, key=lambda other: (words[other], other))
    return {word: _end(word, found) for word in found}


def _end(word: str, found: Mapping[str, str]) -> str:
    """Return the word that no correction follows: "exccelent" -> "excelent" -> "excellent"; each is more common."""
    while word in found:
        word = found[word]
    return word


def corrected(base: Callable[[str], str], right: Mapping[str, str]) -> Callable[[str], str]:
    """Return the function from a word to its base form that corrects it first."""
    return lambda word: base(right.get(word, word))


def _can_be_misspelled(word: str) -> bool:
    return len(word) >= SHORTEST and word.isascii() and word.isalpha()


def _deletions(word: str) -> Iterator[str]:
    """Yield the word and each form with one letter less, the first letter kept: two words of one error share one."""
    yield word
    for at in range(1, len(word)):
        yield word[:at] + word[at + 1 :]


def _times(word: str, other: str) -> int:
    """Return how many times as often the other word must be seen; 0: it is more than one error away, or the same."""
    if len(word) != len(other):
        longer, shorter = sorted((word, other), key=len, reverse=True)
        return TIMES if shorter in {*_deletions(longer)} else 0
    different = [at for at in range(len(word)) if word[at] != other[at]]
    if len(different) == 1:
        return TIMES_OF_ANOTHER_LETTER
    first, last = (different[0], different[-1]) if different else (0, 0)
    swapped = last == first + 1 and (word[first], word[last]) == (other[last], other[first])
    return TIMES if swapped else 0
