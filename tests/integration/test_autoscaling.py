"""What KEDA's Kafka scaler sees of a worker: each partition's end less the group's commit, asked by another client.

Its trap: a transaction's marker takes an offset that no record has. A group that commits only what it read stays one
behind for each transaction of a producer, and is never scaled down.
"""

from __future__ import annotations

import pytest
from confluent_kafka import Producer

from tests import PATIENCE_S
from tests.fixtures.running import Deployment

TRANSACTIONS = 12


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_the_lag_that_scales_reads_zero_past_the_markers_of_committed_and_aborted_transactions(
    deployment: Deployment, client: str
) -> None:
    producer = Producer({"bootstrap.servers": deployment.kafka.bootstrap, "transactional.id": deployment.mark})
    producer.init_transactions(PATIENCE_S)
    for number in range(TRANSACTIONS):
        producer.begin_transaction()
        producer.produce(deployment.input, b"love it", str(number).encode(), partition=number % 6)
        if number % 3:
            producer.commit_transaction(PATIENCE_S)
        else:
            producer.flush(PATIENCE_S)
            producer.abort_transaction(PATIENCE_S)
    ends = sum(deployment._ends(at)[1] for at in deployment._partitions(deployment.input))
    assert ends == 2 * TRANSACTIONS, "each transaction left a record and a marker"
    worker = deployment.worker(kafka_client=client).ready()
    worker.until(lambda: deployment.lag() == 0, "KEDA's lag reads 0")
    worker.until(lambda: worker.total("starstream_consumer_lag_records") == 0, "the exporter's own lag reads 0")
    assert worker.total("starstream_reviews_settled_total", outcome="rated") == TRANSACTIONS * 2 // 3
