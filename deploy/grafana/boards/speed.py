"""Where the time of a review goes: latency, the loop, batches, the model, the sinks."""

from deploy.grafana.panel import Board, Panel, Section

SPEED = Board(
    uid="starstream-speed",
    title="Starstream: speed",
    question="Where does the time of a review go?",
    events=("New model",),
    sections=(
        Section(
            "",
            (
                Panel(
                    "Latency, all reviews",
                    "Number of reviews by latency. Two bands are two populations, which percentiles hide.",
                    (
                        (
                            'sum by (le) (increase(starstream_review_latency_seconds_bucket{job=~"$job"}[$__rate_interval]))',
                            "{{le}}",
                        ),
                    ),
                    see="StarstreamLatencyHigh",
                    kind="heatmap",
                    empty="No review was settled in this time, or no worker ran",
                    width=12,
                    height=8,
                ),
                Panel(
                    "Where the loop spends its time",
                    "Share of the loop's time by phase. wait is spare capacity: when it is 0, add workers.",
                    (
                        (
                            'sum by (phase) (rate(starstream_loop_seconds_total{job=~"$job"}[$__rate_interval])) / ignoring (phase) group_left () (sum(rate(starstream_loop_seconds_total{job=~"$job"}[$__rate_interval])) > 0)',
                            "{{phase}}",
                        ),
                    ),
                    see="StarstreamLagGrowing",
                    unit="percentunit",
                    maximum=1,
                    empty="No worker was scraped in this time",
                    colors={
                        "wait": "#8E8E8E",
                        "poll": "light-blue",
                        "parse": "blue",
                        "classify": "purple",
                        "redis": "red",
                        "topic": "orange",
                    },
                    stacking="normal",
                    fill=60,
                    calculations=("mean",),
                    width=12,
                    height=8,
                ),
            ),
        ),
        Section(
            "Batches",
            (
                Panel(
                    "Reviews in a batch",
                    "Mean and 95th percentile. Small batches at a high load cost throughput; the next panel says why they are released.",
                    (
                        (
                            'sum(rate(starstream_batch_reviews_sum{job=~"$job"}[$__rate_interval])) / (sum(rate(starstream_batch_reviews_count{job=~"$job"}[$__rate_interval])) > 0)',
                            "mean",
                        ),
                        (
                            'histogram_quantile(0.95, sum by (le) (rate(starstream_batch_reviews_bucket{job=~"$job"}[$__rate_interval]))) >= 0',
                            "p95",
                        ),
                    ),
                    see="StarstreamLagGrowing",
                    empty="No review was settled in this time, or no worker ran",
                    width=8,
                    height=8,
                ),
                Panel(
                    "Why batches are released",
                    "full: it reached a limit. enough: waiting for more does not lower the mean latency. linger: it waited WORKER_LINGER_S. idle: no record is expected. drain: the worker stops.",
                    (
                        (
                            'sum by (reason) (rate(starstream_batches_released_total{job=~"$job"}[$__rate_interval]))',
                            "{{reason}}",
                        ),
                    ),
                    see="StarstreamLagGrowing",
                    empty="No worker was scraped in this time",
                    colors={
                        "full": "green",
                        "enough": "#73BF69",
                        "linger": "blue",
                        "idle": "#8E8E8E",
                        "drain": "orange",
                    },
                    stacking="percent",
                    fill=60,
                    width=8,
                    height=8,
                ),
                Panel(
                    "Batch fill",
                    "Share of the tightest limit (WORKER_BATCH_REVIEWS, _BYTES, _TOKENS) that a batch uses. Always near 1: the worker is behind.",
                    (
                        (
                            'sum(rate(starstream_batch_fill_ratio_sum{job=~"$job"}[$__rate_interval])) / (sum(rate(starstream_batch_fill_ratio_count{job=~"$job"}[$__rate_interval])) > 0)',
                            "mean",
                        ),
                        (
                            'histogram_quantile(0.95, sum by (le) (rate(starstream_batch_fill_ratio_bucket{job=~"$job"}[$__rate_interval]))) >= 0',
                            "p95",
                        ),
                    ),
                    see="StarstreamLagGrowing",
                    unit="percentunit",
                    empty="No review was settled in this time, or no worker ran",
                    width=8,
                    height=8,
                ),
                Panel(
                    "Time a batch waits for more reviews",
                    "How long the oldest review of a batch waited for others: usually 0, never over WORKER_LINGER_S.",
                    (
                        (
                            'sum(rate(starstream_batch_wait_seconds_sum{job=~"$job"}[$__rate_interval])) / (sum(rate(starstream_batch_wait_seconds_count{job=~"$job"}[$__rate_interval])) > 0)',
                            "mean",
                        ),
                        (
                            'histogram_quantile(0.99, sum by (le) (rate(starstream_batch_wait_seconds_bucket{job=~"$job"}[$__rate_interval]))) >= 0',
                            "p99",
                        ),
                    ),
                    see="StarstreamLatencyHigh",
                    unit="s",
                    empty="No review was settled in this time, or no worker ran",
                    width=8,
                    height=8,
                ),
                Panel(
                    "Cost of a batch",
                    "The worker's estimate of its own batches, which decides how long to wait for more reviews: seconds per batch for Kafka and Redis (fixed), and seconds for parsing and rating 1,000 tokens. The fixed part rises when Kafka or Redis is slow, and a little with the batch size.",
                    (
                        ('max(starstream_batch_cost_fixed_seconds{job=~"$job"})', "fixed"),
                        ('max(starstream_batch_cost_token_seconds{job=~"$job"}) * 1000', "1,000 tokens"),
                    ),
                    see="StarstreamLagGrowing",
                    unit="s",
                    empty="No worker was scraped in this time",
                    width=8,
                    height=8,
                ),
                Panel(
                    "Inference",
                    "Time of encoding and the model, per batch.",
                    (
                        (
                            'histogram_quantile(0.5, sum by (le) (rate(starstream_inference_seconds_bucket{job=~"$job"}[$__rate_interval]))) >= 0',
                            "p50",
                        ),
                        (
                            'histogram_quantile(0.99, sum by (le) (rate(starstream_inference_seconds_bucket{job=~"$job"}[$__rate_interval]))) >= 0',
                            "p99",
                        ),
                    ),
                    see="StarstreamLatencyHigh",
                    unit="s",
                    empty="No review was settled in this time, or no worker ran",
                    colors={"p50": "green", "p99": "red"},
                    width=8,
                    height=8,
                ),
            ),
        ),
        Section(
            "Sinks",
            (
                Panel(
                    "Sink time",
                    "Time of one batch's write to Redis, and to the output and dead-letter topics.",
                    (
                        (
                            'histogram_quantile(0.5, sum by (sink, le) (rate(starstream_sink_seconds_bucket{job=~"$job"}[$__rate_interval]))) >= 0',
                            "{{sink}} p50",
                        ),
                        (
                            'histogram_quantile(0.99, sum by (sink, le) (rate(starstream_sink_seconds_bucket{job=~"$job"}[$__rate_interval]))) >= 0',
                            "{{sink}} p99",
                        ),
                    ),
                    see="StarstreamLatencyHigh",
                    unit="s",
                    empty="No review was settled in this time, or no worker ran",
                    width=24,
                    height=8,
                ),
            ),
        ),
    ),
)
