"""Kafka through confluent-kafka (librdkafka), chosen with `WORKER_KAFKA_CLIENT=confluent`.

The same ports as `worker.source` and `worker.sinks`, kept by another client: `source` reads, `delivery` publishes and
commits, `client` holds the options and translates the errors. Only `worker.clients` imports from here.
"""
