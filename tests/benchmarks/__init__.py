"""`make bench`: how fast the worker is, compared with named others, in one run and one table (README.md).

Reading order: `__main__` (the command) -> `catalogue` (the rows) -> `throughput`, `latency`, `offline` (the three ways
to measure) -> `stack` (Kafka, Redis, backlog) -> `processes` -> `arithmetic` and `report`. `rows/` holds the programs
that are measured. Nothing here asserts a time.
"""
