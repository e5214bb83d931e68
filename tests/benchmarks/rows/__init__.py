"""The programs that are measured, each run by itself: `python -m benchmarks.rows.<name> <job as JSON>`.

They are imported as `benchmarks.rows`, with `tests/` on the path, because a peer's own environment has no Kafka client
of ours, which the package `tests` imports.
"""
