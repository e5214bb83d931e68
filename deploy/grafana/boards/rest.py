"""The front: what clients of `serve` ask, what they get, and how long they wait."""

from deploy.grafana.panel import Board, Panel, Section

_ASKED = 'starstream_rest_requests_total{route=~"/v(1|2)/.*"}'
_NONE = "No front was asked, or none is scraped"

REST = Board(
    uid="starstream-rest",
    title="Starstream: front",
    question="Do clients of the REST front get their answers, and in time?",
    events=("New model",),
    sections=(
        Section(
            "",
            (
                Panel(
                    "Requests by status",
                    "What clients asked, without probes and scrapes. 429: too much waits, or a client is over its rate.",
                    ((f"sum by (status) (rate({_ASKED}[$__rate_interval]))", "{{status}}"),),
                    see="StarstreamRestFailing",
                    also=("StarstreamRestRefusing",),
                    empty=_NONE,
                    unit="reqps",
                    stacking="normal",
                    fill=40,
                    calculations=("mean", "max"),
                ),
                Panel(
                    "Time of a request",
                    "Half and 99 of 100 requests are answered faster; by the front, without the way to the client.",
                    tuple(
                        (
                            f'histogram_quantile({share}, sum by (le) (rate(starstream_rest_request_seconds_bucket{{route=~"/v(1|2)/.*"}}[$__rate_interval]))) >= 0',
                            legend,
                        )
                        for share, legend in (("0.5", "half"), ("0.99", "99 of 100"))
                    ),
                    see="StarstreamRestRefusing",
                    empty=_NONE,
                    unit="s",
                    calculations=("mean", "max"),
                ),
                Panel(
                    "Reviews that wait in the front",
                    "Of requests that are not rated yet, by front. At WORKER_REST_QUEUE_REVIEWS the next ones get 429.",
                    (("starstream_rest_waiting_reviews", "{{instance}}"),),
                    see="StarstreamRestRefusing",
                    empty=_NONE,
                    calculations=("mean", "max"),
                ),
                Panel(
                    "Reviews that the front rates",
                    'Per second, of all requests. `serve` exports the worker\'s metrics with source="rest".',
                    (
                        (
                            'sum by (instance) (rate(starstream_reviews_settled_total{source="rest"}[$__rate_interval]))',
                            "{{instance}}",
                        ),
                    ),
                    see="StarstreamRestRefusing",
                    empty=_NONE,
                    calculations=("mean", "max"),
                ),
            ),
        ),
    ),
)
