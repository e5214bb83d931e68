"""What the stars say: their mix, their mean, how sure the model is."""

from deploy.grafana.panel import Board, Panel, Section

STARS = Board(
    uid="starstream-stars",
    title="Starstream: stars",
    question="Have the reviews or their stars changed?",
    events=("New model",),
    sections=(
        Section(
            "",
            (
                Panel(
                    "Star mix",
                    "Share of each star among the ratings.",
                    (
                        (
                            'sum by (rating) (rate(starstream_ratings_total{job=~"$job"}[$__rate_interval]))',
                            "{{rating}} ★",
                        ),
                    ),
                    see="StarstreamDrift",
                    empty="No review was settled in this time, or no worker ran",
                    colors={
                        "0 ★": "dark-red",
                        "1 ★": "dark-red",
                        "2 ★": "orange",
                        "3 ★": "yellow",
                        "4 ★": "light-green",
                        "5 ★": "dark-green",
                    },
                    stacking="percent",
                    fill=80,
                    calculations=("mean",),
                    width=12,
                    height=8,
                ),
                Panel(
                    "Mean stars",
                    "Mean of the stars given. A step without a new model is a change in the reviews.",
                    (
                        (
                            '(1 * (sum(rate(starstream_ratings_total{job=~"$job", rating="1"}[$__rate_interval])) or vector(0)) + 2 * (sum(rate(starstream_ratings_total{job=~"$job", rating="2"}[$__rate_interval])) or vector(0)) + 3 * (sum(rate(starstream_ratings_total{job=~"$job", rating="3"}[$__rate_interval])) or vector(0)) + 4 * (sum(rate(starstream_ratings_total{job=~"$job", rating="4"}[$__rate_interval])) or vector(0)) + 5 * (sum(rate(starstream_ratings_total{job=~"$job", rating="5"}[$__rate_interval])) or vector(0))) / (sum(rate(starstream_ratings_total{job=~"$job", rating!="labels"}[$__rate_interval])) > 0)',
                            "mean",
                        ),
                    ),
                    see="StarstreamDrift",
                    unit="none",
                    decimals=2,
                    maximum=5,
                    minimum=1,
                    empty="No review was settled in this time, or no worker ran",
                    colors={"mean": "yellow"},
                    width=12,
                    height=8,
                ),
                Panel(
                    "Confidence",
                    "Calibrated probability of the stars given: its mean, and the share of ratings under 0.5.",
                    (
                        (
                            'sum by (model_version) (rate(starstream_rating_confidence_sum{job=~"$job"}[$__rate_interval])) / (sum by (model_version) (rate(starstream_rating_confidence_count{job=~"$job"}[$__rate_interval])) > 0)',
                            "mean {{model_version}}",
                        ),
                        (
                            'sum(rate(starstream_rating_confidence_bucket{job=~"$job", le="0.5"}[$__rate_interval])) / (sum(rate(starstream_rating_confidence_count{job=~"$job"}[$__rate_interval])) > 0)',
                            "under 0.5",
                        ),
                    ),
                    see="StarstreamConfidenceDropped",
                    unit="percentunit",
                    maximum=1,
                    empty="No review was settled in this time, or no worker ran",
                    colors={"under 0.5": "orange"},
                    width=12,
                    height=8,
                ),
                Panel(
                    "Padding and unknown words",
                    "Padding: share of the model's steps spent on padding. Unknown words: share of words outside the vocabulary; when it grows, train again.",
                    (
                        (
                            '1 - sum(rate(starstream_inference_tokens_total{job=~"$job"}[$__rate_interval])) / (sum(rate(starstream_inference_cells_total{job=~"$job"}[$__rate_interval])) > 0)',
                            "padding",
                        ),
                        (
                            'sum(rate(starstream_inference_unknown_tokens_total{job=~"$job"}[$__rate_interval])) / (sum(rate(starstream_inference_tokens_total{job=~"$job"}[$__rate_interval])) > 0)',
                            "unknown words",
                        ),
                    ),
                    see="StarstreamDrift",
                    unit="percentunit",
                    empty="No review was settled in this time, or no worker ran",
                    colors={"padding": "blue", "unknown words": "orange"},
                    width=12,
                    height=8,
                ),
            ),
        ),
        Section(
            "A model of named labels",
            (
                Panel(
                    "Labels given",
                    "Share of the ratings that have each label. A rating may have several, or none.",
                    (
                        (
                            'sum by (label) (rate(starstream_labels_total{job=~"$job"}[$__rate_interval])) / on () group_left () (sum(rate(starstream_ratings_total{job=~"$job", rating="labels"}[$__rate_interval])) > 0)',
                            "{{label}}",
                        ),
                    ),
                    see="StarstreamDrift",
                    unit="percentunit",
                    empty="No label model rated in this time",
                    width=24,
                    height=8,
                ),
            ),
        ),
    ),
)
