"""The members of the group, asked with librdkafka's admin client: kafka-python 3.0 knows no KIP-848 group."""

from __future__ import annotations

from confluent_kafka.admin import AdminClient

from worker.kafka.confluent.client import ANSWER_GRACE_S, CallbackErrors, translated
from worker.kafka.confluent.options import client_config
from worker.settings import WorkerSettings


def group_members(settings: WorkerSettings) -> dict[str, int]:
    """Return how many partitions each member of the group has, by the member's id and host.

    Raises:
        ServiceError: the brokers do not answer or refuse.
    """
    group, timeout_s = settings.group_id, settings.request_timeout_s
    with translated(f"describe group {group}"):
        admin = AdminClient(client_config(settings, CallbackErrors()))
        asked = admin.describe_consumer_groups([group], request_timeout=timeout_s)[group]
        return {
            f"{member.member_id[:48]} at {member.host.lstrip('/')}": len(member.assignment.topic_partitions)
            for member in asked.result(timeout_s + ANSWER_GRACE_S).members
        }
