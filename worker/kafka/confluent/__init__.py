"""Kafka through confluent-kafka (librdkafka), chosen with `WORKER_KAFKA_CLIENT=confluent`."""
