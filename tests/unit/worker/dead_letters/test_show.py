"""How letters are printed."""

from __future__ import annotations

from collections import Counter

from worker.dead_letters.letter import FOREIGN
from worker.dead_letters.show import reason_counts
from worker.ops.text import printable


def test_control_characters_are_escaped() -> None:
    assert printable("a\x1b[2Jb\x9b\u202ec\n") == "a\\x1b[2Jb\\x9b\\u202ec\\n"
    assert printable("a\nb", keep="\n") == "a\nb"
    assert printable("größer 🙂") == "größer 🙂"


def test_counts_are_in_the_order_of_the_reasons() -> None:
    assert reason_counts(Counter({"unratable": 1, "not_json": 2, FOREIGN: 3})) == "not_json 2, unratable 1, other 3"
