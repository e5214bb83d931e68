"""What each process does: partitions, rebalances, memory, CPU, the model that it serves."""

from deploy.grafana.panel import Board, Panel, Section

WORKERS = Board(
    uid="starstream-workers",
    title="Starstream: workers",
    question="Which process does what, and is one unwell?",
    events=("New model",),
    sections=(
        Section(
            "",
            (
                Panel(
                    "Workers up",
                    "Processes that answer a scrape, and the most that did within the last hour.",
                    (
                        ('sum(job:starstream_workers:up{job=~"$job"})', "up"),
                        ('sum(job:starstream_workers:expected{job=~"$job"})', "expected"),
                    ),
                    see="StarstreamWorkerDown",
                    empty="Prometheus has no rules of Starstream",
                    decimals=0,
                    colors={"up": "green"},
                    apart="expected",
                    width=12,
                    height=8,
                ),
                Panel(
                    "Rebalances",
                    "Changes of partition ownership within the interval, by event. lost: the group removed the worker.",
                    (
                        (
                            'sum by (event) (increase(starstream_rebalances_total{job=~"$job"}[$__rate_interval]))',
                            "{{event}}",
                        ),
                    ),
                    see="StarstreamRebalanceStorm",
                    decimals=0,
                    empty="No worker was scraped in this time",
                    colors={"assigned": "green", "revoked": "orange", "lost": "red"},
                    fill=80,
                    width=12,
                    height=8,
                ),
                Panel(
                    "Partitions",
                    "Owned by each worker. paused: Redis or Kafka is unavailable. stalled: records wait and none is read.",
                    (
                        ('sum by (instance) (starstream_partitions_assigned{job=~"$job"})', "{{instance}}"),
                        ('sum(starstream_partitions_paused{job=~"$job"})', "paused"),
                        ('sum(starstream_partitions_stalled{job=~"$job"})', "stalled"),
                    ),
                    see="StarstreamPartitionsPaused",
                    decimals=0,
                    empty="No worker was scraped in this time",
                    colors={"paused": "orange", "stalled": "red"},
                    width=12,
                    height=8,
                ),
                Panel(
                    "Memory",
                    "Resident memory of each worker.",
                    (('process_resident_memory_bytes{job=~"$job"}', "{{instance}}"),),
                    see="StarstreamWorkerRestarting",
                    unit="bytes",
                    empty="No worker was scraped in this time",
                    width=12,
                    height=8,
                ),
                Panel(
                    "CPU",
                    "Cores each worker uses.",
                    (('rate(process_cpu_seconds_total{job=~"$job"}[$__rate_interval])', "{{instance}}"),),
                    see="StarstreamLagGrowing",
                    decimals=2,
                    empty="No worker was scraped in this time",
                    width=12,
                    height=8,
                ),
                Panel(
                    "Model versions",
                    "Which version each worker served, and when. A promotion is a short staircase.",
                    (
                        (
                            'max by (instance, model_version) (starstream_model_info{job=~"$job"} == 1)',
                            "{{instance}}  {{model_version}}",
                        ),
                    ),
                    see="StarstreamMixedModels",
                    kind="state-timeline",
                    empty="No worker was scraped in this time",
                    width=24,
                    height=6,
                ),
                Panel(
                    "Trace spans",
                    "Spans of sampled batches and requests that the collector has, and those it did not take.",
                    (
                        (
                            'sum by (result) (rate(starstream_trace_spans_total{job=~"$job"}[$__rate_interval]))',
                            "{{result}}",
                        ),
                    ),
                    see="StarstreamWorkerDown",
                    decimals=1,
                    empty="No worker was scraped in this time",
                    width=24,
                    height=6,
                ),
            ),
        ),
    ),
)
