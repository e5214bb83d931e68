"""A training file from Kafka: reviews joined with their authors' stars."""
