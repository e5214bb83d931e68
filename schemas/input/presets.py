"""Where the parts of a review are in the exports and envelopes that many people have.

Owns their names and paths. A preset is data: `fields` searches by it. Each has a small example in the tests.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Final, Literal

from schemas.input.fields import DEFAULT_PATHS, FieldPaths

Preset = Literal["google-play-scraper", "play-console", "app-store-connect", "trustpilot", "debezium", "cloudevents"]
_ROW: Final = FieldPaths(id="review_id, reviewId, id", time="created_at, at, createdAt")

PRESETS: Final[dict[Preset, FieldPaths]] = {
    # https://github.com/JoMingyu/google-play-scraper: a review is {reviewId, content, score, at, appVersion, ...}
    "google-play-scraper": DEFAULT_PATHS,
    # The monthly CSV that Play Console exports (UTF-16, one row a review; the link holds the review's id)
    "play-console": FieldPaths(
        text="Review Title+Review Text",
        id="Review Link",
        app="Package Name",
        score="Star Rating",
        time="Review Last Update Millis Since Epoch, Review Submit Millis Since Epoch, Review Submit Date and Time",
        version="App Version Name, App Version Code",
    ),
    # App Store Connect API, resource type customerReviews
    "app-store-connect": FieldPaths(
        text="attributes.title+attributes.body",
        id="id",
        app="relationships.app.data.id, app_id, appId",
        score="attributes.rating",
        time="attributes.createdDate",
        version="attributes.appVersion, app_version, appVersion",
    ),
    # Trustpilot API, a review of a business unit
    "trustpilot": FieldPaths(
        text="title+text",
        id="id",
        app="businessUnit.identifyingName, businessUnit.id",
        score="stars",
        time="createdAt",
        version="app_version",
    ),
    # Debezium's change events, with and without the schema around them, and unwrapped
    "debezium": _ROW.under("payload.after", "after", ""),
    # CloudEvents in structured mode. The event's own id names the event, not the review
    "cloudevents": FieldPaths(
        **{
            **{field.name: getattr(_ROW.under("data"), field.name) for field in fields(_ROW)},
            "text": f"{_ROW.under('data').text}, data",
            "id": f"{_ROW.under('data').id}, subject",
            "time": f"{_ROW.under('data').time}, time",
        }
    ),
}


def field_paths(preset: Preset | None = None, **chosen: str | None) -> FieldPaths:
    """Return a preset's paths, the default ones without it, with those that were chosen in their place.

    Raises:
        ValueError: a path is empty.
    """
    found = PRESETS[preset] if preset else DEFAULT_PATHS
    return FieldPaths(
        **{field.name: chosen.get(field.name) or getattr(found, field.name) for field in fields(FieldPaths)}
    )
