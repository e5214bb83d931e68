"""Whether each review ends where it should: sinks, commits, dead letters."""

from deploy.grafana.panel import Board, Panel, Section

DELIVERY = Board(
    uid="starstream-delivery",
    title="Starstream: delivery",
    question="Does each review end where it should?",
    events=("New model",),
    sections=(
        Section(
            "",
            (
                Panel(
                    "Sink errors",
                    "Failed writes per second. transient: retried. permanent and fatal: the worker stops.",
                    (
                        (
                            'sum by (sink, kind) (rate(starstream_sink_errors_total{job=~"$job"}[$__rate_interval]))',
                            "{{sink}} {{kind}}",
                        ),
                    ),
                    see="StarstreamSinkErrors",
                    also=("StarstreamSinkFailing",),
                    empty="No worker was scraped in this time",
                    fill=20,
                    width=8,
                    height=8,
                ),
                Panel(
                    "Redis writes",
                    "Per second, by result. replayed: the same position was written before. stale: an older position, refused. deleted: tombstones.",
                    (
                        (
                            'sum by (result) (rate(starstream_redis_writes_total{job=~"$job"}[$__rate_interval]))',
                            "{{result}}",
                        ),
                    ),
                    see="StarstreamSinkErrors",
                    empty="No worker was scraped in this time",
                    colors={"written": "green", "replayed": "blue", "stale": "orange", "deleted": "#8E8E8E"},
                    fill=10,
                    width=8,
                    height=8,
                ),
                Panel(
                    "Checkpoints",
                    "Offset commits per second. The reviews of a failed one are rated again.",
                    (
                        (
                            'sum by (result) (rate(starstream_checkpoints_total{job=~"$job"}[$__rate_interval]))',
                            "{{result}}",
                        ),
                    ),
                    see="StarstreamCheckpointsFailing",
                    empty="No worker was scraped in this time",
                    colors={"committed": "green", "failed": "red"},
                    fill=10,
                    width=8,
                    height=8,
                ),
                Panel(
                    "Records lost",
                    "Records that the topic's retention or a person removed before the group read them, in the interval.",
                    (
                        (
                            'sum by (topic) (increase(starstream_records_lost_total{job=~"$job"}[$__rate_interval]))',
                            "{{topic}}",
                        ),
                    ),
                    see="StarstreamRecordsLost",
                    empty="No worker was scraped in this time",
                    width=8,
                    height=8,
                ),
                Panel(
                    "Dead letters by reason",
                    "Records per second that could not be rated, by reason; optional fields that were left out; and workers whose breaker is open (right).",
                    (
                        (
                            'sum by (reason) (rate(starstream_reviews_rejected_total{job=~"$job"}[$__rate_interval]))',
                            "{{reason}}",
                        ),
                        ('sum(starstream_breaker_open{job=~"$job"})', "breakers open"),
                        (
                            'sum by (field) (rate(starstream_ignored_fields_total{job=~"$job"}[$__rate_interval]))',
                            "left out: {{field}}",
                        ),
                    ),
                    see="StarstreamBreakerOpen",
                    empty="No worker was scraped in this time",
                    colors={"breakers open": "red"},
                    apart="breakers open",
                    stacking="normal",
                    fill=40,
                    width=16,
                    height=8,
                ),
            ),
        ),
    ),
)
