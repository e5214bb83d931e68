"""Kill anything, at any moment, and count: real workers on a real Kafka and a real Redis. README.md says how to run."""
