"""Asks a Kafka broker whether it is ready, in two requests of the Kafka protocol over one socket.

Owns the question "would a client get on now?". A connection alone says little: a paused broker's kernel accepts it.
kafka-python is not used for this: its constructor leaves its thread behind when the broker does not answer, and
writes to the log at every refusal. Never used by the worker. Next on the path: `deploy.kafka.broker`.

Formats: https://kafka.apache.org/protocol - ApiVersions v0 (key 18), Metadata v1 (key 3), request header v1.
"""

import socket
import struct

from deploy.process import LOOPBACK

_API_VERSIONS = 18
_METADATA = 3
_CLIENT_ID = b"starstream-probe"
_NO_TOPICS = struct.pack(">i", 0)


def broker_answers(port: int, timeout_s: float = 1.0) -> bool:
    """Whether the broker on loopback `port` speaks Kafka and counts at least one broker in service.

    Blocks at most about `timeout_s` per answer.
    """
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout_s) as connection:
            (error_code,) = struct.unpack_from(">h", _ask(connection, _API_VERSIONS, 0, b""))
            if error_code != 0:
                return False
            (brokers,) = struct.unpack_from(">i", _ask(connection, _METADATA, 1, _NO_TOPICS))
            return bool(brokers > 0)
    except (OSError, struct.error):  # refused, closed, silent, or not Kafka: not ready
        return False


def _ask(connection: socket.socket, api_key: int, api_version: int, body: bytes) -> bytes:
    """Send one request and return the answer's body, after its correlation id."""
    header = struct.pack(f">hhih{len(_CLIENT_ID)}s", api_key, api_version, 1, len(_CLIENT_ID), _CLIENT_ID)
    connection.sendall(struct.pack(">i", len(header) + len(body)) + header + body)
    with connection.makefile("rb") as answer:
        (size,) = struct.unpack(">i", answer.read(4))
        return answer.read(min(size, 1_048_576))[4:]
