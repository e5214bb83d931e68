"""Where the parts of a review are found: paths, alternatives, joined fields, letter case; and the known exports."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.input.fields import DEFAULT_PATHS, FIELD_NAMES, FieldFinder, FieldPaths, describe_names, likely_text
from schemas.input.presets import PRESETS, Preset, field_paths


def found(value: dict[str, Any], paths: FieldPaths = DEFAULT_PATHS) -> dict[str, Any]:
    """Return what is found, by the name of the part."""
    values = zip(FIELD_NAMES, FieldFinder(paths).find(value), strict=True)
    return {name: part for name, part in values if part is not None}


@pytest.mark.parametrize(
    ("paths", "value", "text"),
    [
        ("body", {"body": "a"}, "a"),
        ("data.comment", {"data": {"comment": "a"}}, "a"),
        ("data.comment", {"Data": {"COMMENT": "a"}}, "a"),
        ("data.comment", {"data.comment": "a", "data": {"comment": "b"}}, "a"),
        ("a, b", {"b": "second", "a": "first"}, "first"),
        ("a, b", {"a": None, "b": "second"}, "second"),
        ("a, b", {"a": "", "b": "second"}, "second"),
        ("a, b.c", {"a": {"x": 1}, "b": {"c": "nested"}}, {"x": 1}),
        ("title+body", {"title": "Nice", "body": "works"}, "Nice\nworks"),
        ("title+body", {"title": None, "body": "works"}, "works"),
        ("title+body, text", {"text": "alone"}, "alone"),
        ("title+body", {"title": "Nice", "body": 7}, 7),
        ("Review Text", {" review text ": "a"}, "a"),
        ("Comment, if any", {"Comment, if any": "a"}, "a"),
        ("pros+cons", {"pros+cons": "both", "pros": "one"}, "both"),
        ("text", {"TEXT": "other case", "text": "exact"}, "exact"),
        ("a.b.c", {"a": {"b": "no object"}}, None),
        ("a", {"a": ""}, ""),
    ],
)
def test_the_first_path_that_leads_to_a_value_counts(paths: str, value: dict[str, Any], text: object) -> None:
    assert found(value, FieldPaths(text=paths)).get("text") == text


@pytest.mark.parametrize("paths", ["", " ", "a,", "a++b", "a..b", ".a"])
def test_an_empty_path_is_refused(paths: str) -> None:
    with pytest.raises(ValueError, match="a path is empty; expected names such as body"):
        FieldPaths(text=paths)


EXAMPLES: dict[Preset, dict[str, Any]] = {
    "google-play-scraper": {
        "reviewId": "r1", "userName": "A", "content": "Good", "score": 4, "thumbsUpCount": 0,
        "reviewCreatedVersion": "1.2", "at": "2026-11-01 10:00:00", "replyContent": None, "appVersion": "1.3",
        "appId": "x",
    },
    "play-console": {
        "Package Name": "x", "App Version Code": "7", "App Version Name": "1.3", "Reviewer Language": "en",
        "Review Submit Date and Time": "2026-11-01 10:00:00", "Review Last Update Millis Since Epoch": "",
        "Review Submit Millis Since Epoch": "2026-11-01 10:00:00", "Star Rating": 4, "Review Title": "",
        "Review Text": "Good", "Review Link": "r1",
    },
    "app-store-connect": {
        "type": "customerReviews", "id": "r1", "relationships": {"app": {"data": {"id": "x"}}},
        "attributes": {
            "rating": 4, "title": "", "body": "Good", "createdDate": "2026-11-01 10:00:00", "appVersion": "1.3",
        },
    },
    "trustpilot": {
        "id": "r1", "stars": 4, "title": None, "text": "Good", "createdAt": "2026-11-01 10:00:00",
        "businessUnit": {"identifyingName": "x"}, "app_version": "1.3",
    },
    "debezium": {
        "schema": {"type": "struct"},
        "payload": {
            "op": "c", "before": None, "ts_ms": 1,
            "after": {
                "id": "r1", "app_id": "x", "body": "Good", "stars": 4, "created_at": "2026-11-01 10:00:00",
                "app_version": "1.3",
            },
        },
    },
    "cloudevents": {
        "specversion": "1.0", "id": "e1", "source": "/shop", "type": "review.created", "subject": "r1",
        "time": "2026-11-01 10:00:00", "data": {"text": "Good", "stars": 4, "appId": "x", "appVersion": "1.3"},
    },
}  # fmt: skip


def test_every_preset_has_an_example() -> None:
    assert EXAMPLES.keys() == PRESETS.keys()


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_finds_every_part_of_its_example(preset: Preset) -> None:
    assert found(EXAMPLES[preset], PRESETS[preset]) == {
        "text": "Good",
        "id": "r1",
        "app": "x",
        "score": 4,
        "time": "2026-11-01 10:00:00",
        "version": "1.3",
    }


def test_a_change_event_is_read_without_its_schema_and_unwrapped_too() -> None:
    paths = PRESETS["debezium"]
    row = EXAMPLES["debezium"]["payload"]["after"]
    assert found({"after": row}, paths) == found(row, paths) == found(EXAMPLES["debezium"], paths)


def test_the_text_of_a_cloud_event_may_be_its_data() -> None:
    assert found({"specversion": "1.0", "data": "Good"}, PRESETS["cloudevents"]) == {"text": "Good"}


def test_a_chosen_path_takes_the_place_of_the_presets() -> None:
    paths = field_paths("trustpilot", text="text", id=None)
    assert (paths.text, paths.id, paths.score) == ("text", "id", "stars")


values = st.one_of(
    st.none(), st.just(""), st.text(max_size=3), st.integers(), st.dictionaries(st.text(max_size=3), st.none())
)


@given(
    st.lists(st.dictionaries(st.sampled_from(["text", "Text", "content", "body", "id", "data"]), values), max_size=8)
)
def test_a_finder_that_knows_a_shape_finds_what_a_new_one_finds(objects: list[dict[str, Any]]) -> None:
    finder = FieldFinder(FieldPaths(text="text+body, content, data.x"))
    for value in objects:
        assert finder.find(value) == FieldFinder(finder.paths).find(value)


def test_names_are_described_and_what_may_be_a_text_is_not() -> None:
    value = {"Review Text": "a b", "deep": {"er": {"est": 1}}, "this was sent as a key by accident, sorry": 1}
    assert describe_names(value) == "Review Text, deep.er.est, (not shown: it reads like a text)"
    assert describe_names({f"f{number}": 1 for number in range(14)}).endswith("f11 and 2 more")
    assert likely_text(value) == "Review Text"
    assert likely_text({"words": "one"}) is None
