"""The contracts between rooms: messages, the bundle's manifest, and text -> ids -> stars.

Owns what a producer, the trainer, the worker and a reader must agree on. Imports no other
room, and no client of Kafka or Redis. README.md lists the files in reading order.
"""

__version__ = "0.1.0"
"""The product's version, and its only place: the distribution, both programs and the images' tags follow it."""
