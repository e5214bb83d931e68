"""Kafka behind the ports: one delivery over two clients, each in a folder of its own."""
