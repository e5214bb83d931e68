from __future__ import annotations

import re

import numpy as np

from trainer.data.dataset import Part
from trainer.publish.words import FEWEST_REVIEWS, cloud, telling_words

TEXTS = ["awful and it crashes"] * 20 + ["lovely and it works"] * 30 + ["fine and it works"] * 20
PART = Part(TEXTS, np.repeat([0, 2, 1], [20, 30, 20]).astype(np.intp))


def test_each_label_has_the_words_that_set_it_apart() -> None:
    found = telling_words(PART, [1, 3, 5])
    assert {*[*found[1]][:2]} == {"awful", "crashes"}
    assert next(iter(found[5])) == "lovely"
    assert next(iter(found[3])) == "fine"
    assert "and" not in [*found[1]][:2]


def test_words_of_a_few_reviews_and_marks_say_nothing() -> None:
    texts = ["awful !!"] * 20 + ["lovely !!"] * 20 + ["zyx"] * (FEWEST_REVIEWS - 1)
    targets = np.repeat([0, 1, 1], [20, 20, FEWEST_REVIEWS - 1]).astype(np.intp)
    found = telling_words(Part(texts, targets), [1, 5])
    assert ({*found[1]}, {*found[5]}) == ({"awful"}, {"lovely"})
    assert telling_words(Part(["zyx"], np.zeros(1, np.intp)), [1, 5]) == {1: {}, 5: {}}


def test_the_cloud_draws_each_word_once_and_the_same_each_time() -> None:
    words = telling_words(PART, [1, 3, 5])[5]
    drawn = cloud(words, "#123456")
    assert drawn == cloud(words, "#123456")
    assert drawn.startswith("<svg ")
    shown = re.findall(r">(\w+)</text>", drawn)
    assert "lovely" in shown
    assert len(shown) == len({*shown} & {*words}), "none twice, and none but those"
    assert "http" not in drawn.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert cloud({"\N{HEAVY BLACK HEART}": 1.0}, "#123456") == ""
