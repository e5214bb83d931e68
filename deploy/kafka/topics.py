"""Creates topics on a local broker and waits until they can be used.

Owns the translation of kafka-python's admin errors into `TopicsFailed`. Never deletes or alters a topic.
"""

import time
from collections.abc import Mapping

from deploy.kafka.errors import TopicsFailed

_ALREADY_EXISTS = 36  # TOPIC_ALREADY_EXISTS in the protocol's error codes


def create_topics(
    bootstrap: str,
    topics: Mapping[str, int],
    configs: Mapping[str, str] | None = None,
    timeout_s: float = 300.0,
) -> None:
    """Create `topics` (name to number of partitions) with one copy each, and block until all have leaders.

    A topic that exists with that many partitions is left as it is; `configs` go to every topic created.

    Raises:
        TopicsFailed: the broker refused, a topic exists with another number of partitions, or the deadline passed.
    """
    from kafka.admin import KafkaAdminClient
    from kafka.errors import KafkaError

    deadline_s = time.monotonic() + timeout_s
    wanted = {
        name: {"num_partitions": partitions, "replication_factor": 1, "configs": dict(configs or {})}
        for name, partitions in topics.items()
    }
    if not wanted:
        return
    try:
        with KafkaAdminClient(bootstrap_servers=bootstrap, bootstrap_timeout_ms=_ms(timeout_s)) as admin:
            answer = admin.create_topics(wanted, timeout_ms=_ms(timeout_s), raise_errors=False)
            for topic in answer["topics"]:
                if topic["error_code"] not in {0, _ALREADY_EXISTS}:
                    raise TopicsFailed(f"topic {topic['name']} was refused: {topic['error_message']}")
            admin.wait_for_topics(list(wanted), timeout_ms=_ms(max(deadline_s - time.monotonic(), 1.0)))
            found = {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics(list(wanted))}
    except KafkaError as error:
        raise TopicsFailed(f"topics {', '.join(wanted)} on {bootstrap}: {error!r}") from error
    for name, partitions in topics.items():
        if found[name] != partitions:
            raise TopicsFailed(
                f"topic {name} exists with {found[name]} partitions, not {partitions}: "
                f"use another data directory or remove this one"
            )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
