"""Kafka through kafka-python, the default client."""
