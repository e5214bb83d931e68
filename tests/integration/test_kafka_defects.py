"""The ten defects of kafka-python 3.0.12 that the worker is built around: each shown on a real broker with the bare
client, then what the worker does about it.

A defect that no longer shows is good news: the client was upgraded, and the counter-measure named here may go. What
the client cost us otherwise is in worker/DECISIONS.md; the whole loop under these defects is tests/chaos.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors
from kafka.cluster import ClusterMetadata
from kafka.producer.future import FutureProduceResult, FutureRecordMetadata
from kafka.protocol.metadata import MetadataResponse

from deploy.kafka import LocalKafka
from deploy.process import wait_until
from tests import PATIENCE_S
from tests.contract.worlds import KafkaStreamWorld
from tests.doubles import ManualClock, commit, make_rated, make_record
from tests.fixtures.joining import Polls, forget_a_join, join
from tests.fixtures.records import read_topic
from tests.fixtures.shared_kafka import AnyKafka, SharedKafka
from worker.errors import ExitCode, FencedError, ProducerFencedError, TransientError
from worker.kafka.delivery import ExactlyOnce
from worker.kafka.python.client import translate
from worker.kafka.python.producer import close_failed
from worker.kafka.python.source import KafkaSource


class World(KafkaStreamWorld):
    """Topics and a group of its own, read by the worker's consumers and by bare ones."""

    partitions = 2

    def __init__(self, broker: AnyKafka) -> None:
        super().__init__(broker, "exactly_once")
        self.create(self.topic, self.output_topic, self.dead_letter_topic)
        self.first, self.second = TopicPartition(self.topic, 0), TopicPartition(self.topic, 1)

    def consumer(self, **options: Any) -> Any:
        """Return a bare consumer of the group that owns something."""
        client = KafkaConsumer(
            bootstrap_servers=self.broker.bootstrap, group_id=self.group, enable_auto_commit=False,
            isolation_level="read_committed", auto_offset_reset="earliest", **options,
        )  # fmt: skip
        self._closers.insert(0, lambda: client.close(autocommit=False, timeout_ms=2000))
        client.partitions_for_topic(self.topic)  # before it joins: a leader that knows no partitions gives none
        client.subscribe([self.topic])
        join(client)
        return client

    def heir(self, ends: dict[TopicPartition, OffsetAndMetadata]) -> Any:
        """Return a bare consumer that has committed these offsets after another was evicted.

        The evicted one says so before the broker has its LeaveGroup, and that may be one more rebalance.
        """
        client = self.consumer()
        polls = Polls(client)

        def committed() -> bool:
            with suppress(kafka_errors.RebalanceInProgressError):
                client.commit(ends)
                return True
            polls.next()
            return False

        wait_until(committed, PATIENCE_S, "the heir's commit")
        return client

    def producer(self, transactional_id: str | None = None, **options: Any) -> Any:
        """Return a bare producer, ready for transactions if it has an id for them."""
        options |= {"transactional_id": transactional_id, "retry_backoff_ms": 10}
        client = KafkaProducer(bootstrap_servers=self.broker.bootstrap, **options)
        self._closers.insert(0, lambda: close_failed(client))
        if transactional_id is not None:
            client.init_transactions()
        return client

    def source(self, **options: Any) -> KafkaSource:
        """Return the worker's consumer, with an assignment."""
        source = self.member(**options)
        assert isinstance(source, KafkaSource)
        wait_until(lambda: bool(source.poll(10, 0.2) or source._owned()), PATIENCE_S, "an assignment")
        return source

    def worker(self, **settings: Any) -> tuple[KafkaSource, ExactlyOnce]:
        """Return the worker's consumer and its delivery."""
        source = self.source()
        return source, self.exactly_once(source, **settings)

    def exactly_once(self, source: KafkaSource, **settings: Any) -> ExactlyOnce:
        """Return the worker's delivery on that consumer."""
        made = self.delivery(source, **settings)
        assert isinstance(made, ExactlyOnce)
        return made

    def ended(self, consumer: Any, partition: int = 0) -> int | None:
        """Return the group's committed offset, all transactions ended."""
        at = TopicPartition(self.topic, partition)
        found: int | None = consumer.committed(at, timeout_ms=round(PATIENCE_S * 1000))
        return found

    def send(self, *values: bytes) -> None:
        """Produce to the first partition."""
        self.produce(*(make_record(value, topic=self.topic) for value in values))


@pytest.fixture
def world(kafka: SharedKafka) -> Iterator[World]:
    made = World(kafka)
    yield made
    made.close()


@pytest.fixture
def stoppable_world(stoppable_kafka: LocalKafka) -> Iterator[World]:
    """On a broker that this test may suspend."""
    made = World(stoppable_kafka)
    yield made
    made.close()


def offsets(at: TopicPartition, offset: int) -> dict[TopicPartition, OffsetAndMetadata]:
    return {at: OffsetAndMetadata(offset, "", -1)}


def test_the_client_is_the_one_these_defects_were_found_in() -> None:
    assert importlib.metadata.version("kafka-python") == "3.0.12", "look at each test here, then at its counter-measure"


# 1. An evicted consumer reports generation -1 and no member, and the broker accepts offsets under that unfenced.


def test_defect_1_offsets_of_an_evicted_consumer_are_not_fenced(world: World) -> None:
    zombie = world.consumer(max_poll_interval_ms=5000)  # it joins in less than that on a busy machine too
    wait_until(lambda: zombie.group_metadata().generation_id < 0, PATIENCE_S, "the eviction")
    heir = world.heir(offsets(world.first, 10))
    producer = world.producer(world.group)
    producer.begin_transaction()
    producer.send_offsets_to_transaction(offsets(world.first, 3), zombie.group_metadata())
    producer.commit_transaction()
    assert world.ended(heir) == 3, "the zombie no longer moves the group back: the defect is gone"


def test_defect_1_the_worker_refuses_to_commit_once_evicted(world: World) -> None:
    source = world.source(
        max_poll_interval_s=5, transaction_timeout_s=2, request_timeout_s=2.5, drain_deadline_s=2, redis_timeout_s=0.9
    )
    before = source.membership()
    wait_until(lambda: source._consumer.group_metadata().generation_id < 0, PATIENCE_S, "the eviction")
    assert source.membership() == before, "the membership of the last poll stays: it is the one the broker fences"
    heir = world.heir(offsets(world.first, 10))
    with pytest.raises(TransientError):
        commit(world.exactly_once(source), [make_rated()], {world.at(0): 3})
    assert world.ended(heir) == 10


def test_defect_1_the_worker_holds_no_membership_until_it_joined_again(world: World) -> None:
    source = world.source()
    source._membership = source._membership._replace(generation_id=-1, member_id="")  # as a poll after eviction reports
    with pytest.raises(TransientError, match="member of group"):
        source.membership()


def test_a_forgotten_join_refuses_every_commit_until_it_is_asked_for(world: World) -> None:
    """Why `Polls` asks; what the worker does is in tests/contract/test_source_kafka.py."""
    client = world.consumer()
    world.admin.create_partitions({world.topic: 3})
    forget_a_join(client)
    for _ in range(3):
        with pytest.raises(kafka_errors.RebalanceInProgressError):
            client.commit(offsets(world.first, 1))
        client.poll(timeout_ms=500)
    Polls(client).next()
    client.commit(offsets(world.first, 1))


# 2. A failed transaction's offsets stay in the producer, and go with its next transaction.


def test_defect_2_offsets_of_an_aborted_transaction_go_with_the_next(world: World) -> None:
    consumer = world.consumer()
    producer = world.producer(world.group)
    stale = consumer.group_metadata()._replace(generation_id=99)
    producer.begin_transaction()
    with pytest.raises(kafka_errors.KafkaError):
        producer.send_offsets_to_transaction(offsets(world.first, 7), stale)
    producer.abort_transaction()
    producer.begin_transaction()
    producer.send_offsets_to_transaction(offsets(world.second, 2), consumer.group_metadata())
    producer.commit_transaction()
    assert world.ended(consumer) == 7, "aborted offsets stay aborted: the defect is gone"


def test_defect_2_the_worker_throws_the_producer_away(world: World) -> None:
    source, delivery = world.worker()
    failed, current = delivery._producer, source._membership
    source._membership = current._replace(generation_id=99)
    with pytest.raises(TransientError):
        commit(delivery, [make_rated("lost")], {world.at(0): 7})
    source._membership = current
    commit(delivery, [make_rated("kept")], {world.at(1): 2})
    assert delivery._producer is not failed
    assert (world.ended(source._consumer, 0), world.ended(source._consumer, 1)) == (None, 2)


# 3. A deserializer that raises loses good records, and the client spins.

_RAISING = """
import sys
from kafka import KafkaConsumer
from kafka.serializer import Deserializer
class Digits(Deserializer):
    def deserialize(self, topic, headers, data):
        return int(data)
consumer = KafkaConsumer(sys.argv[2], bootstrap_servers=sys.argv[1], auto_offset_reset="earliest",
                         value_deserializer=Digits())
for _ in range(100):
    try:
        for records in consumer.poll(300).values():
            print(*(record.value for record in records), flush=True)
    except ValueError:
        print("raised", flush=True)
"""


def test_defect_3_a_raising_deserializer_loses_records_and_blocks_poll(world: World) -> None:
    world.send(b"1", b"not a number", b"3", b"4")
    client = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _RAISING, world.broker.bootstrap, world.topic],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    lines: list[str] = []
    with client:
        assert client.stdout is not None
        reader = threading.Thread(target=lambda: lines.extend(client.stdout or ()), daemon=True)
        reader.start()
        wait_until(lambda: "raised\n" in lines, PATIENCE_S, "the deserializer raised")
        with pytest.raises(TimeoutError):
            wait_until(lambda: any("4" in line for line in lines), 4, "the records behind")
        client.kill()
    reader.join()


def test_defect_3_the_worker_has_no_deserializer(world: World) -> None:
    world.send(b"1", b"\xff", b"3")
    source = world.source()
    source.rewind({world.at(0): 0})
    values: list[bytes | None] = []

    def all_came() -> bool:
        values.extend(record.value for record in source.poll(10, 0.2))
        return len(values) >= 3

    wait_until(all_came, PATIENCE_S, "all three")
    assert values == [b"1", b"\xff", b"3"]
    assert (source._consumer.config["key_deserializer"], source._consumer.config["value_deserializer"]) == (None, None)


# 4. A static member that another process replaced goes on polling; only its commits fail.


def test_defect_4_a_fenced_static_member_polls_on(world: World) -> None:
    first = world.consumer(group_instance_id="same")
    for _ in range(10):  # its first metadata may make it join once more, and a join is where it would be told
        first.poll(200)
    second = world.consumer(group_instance_id="same")
    for _ in range(5):
        first.poll(200)
    assert first.assignment() == second.assignment(), "the fenced member gave its partitions up: the defect is gone"

    polls = Polls(first)

    def fenced() -> bool:
        """Commit again after each rebalance, of which there may be some on a busy machine; a join is fenced, too."""
        try:
            with suppress(kafka_errors.RebalanceInProgressError):
                first.commit(offsets(world.first, 1))
            second.poll(200)  # a rebalance waits for every member
            polls.next()
        except kafka_errors.FencedInstanceIdError:
            return True
        return False

    wait_until(fenced, PATIENCE_S, "the commit is fenced")


def test_defect_4_the_worker_ends_with_7(world: World) -> None:
    """At its next join, which it asks for when new metadata comes, or at its next commit."""
    first = world.source(instance_id="same")
    delivery = world.exactly_once(first)
    world.source(instance_id="same")

    def go_on() -> None:
        first.poll(10, 0.5)
        commit(delivery, [make_rated()], {world.at(0): 1})

    with pytest.raises(FencedError) as caught:
        go_on()
    assert caught.value.exit_code is ExitCode.FENCED


# 5. A producer that was fenced reports it once, and then a general error.


def test_defect_5_a_zombie_producer_gets_two_different_errors(world: World) -> None:
    zombie = world.producer(world.group)
    zombie.begin_transaction()
    zombie.send(world.output_topic, b"zombie").get(PATIENCE_S)
    world.producer(world.group)
    with pytest.raises(kafka_errors.KafkaError) as first:
        zombie.commit_transaction()
    with pytest.raises(kafka_errors.KafkaError) as then:
        zombie.commit_transaction()
    assert type(first.value) is not type(then.value) is kafka_errors.KafkaError, "one error, twice: the defect is gone"
    assert [type(translate(caught.value, "commit")) for caught in (first, then)] == [
        ProducerFencedError,
        TransientError,
    ]


def test_defect_5_the_worker_rebuilds_whatever_the_error_is(world: World) -> None:
    source, delivery = world.worker()
    world.producer(f"{world.group}-tx")  # another has its name now
    with pytest.raises(TransientError):
        commit(delivery, [make_rated()], {world.at(0): 1})
    commit(delivery, [make_rated()], {world.at(0): 1})
    assert world.ended(source._consumer) == 1


# 6. The end of a transaction takes no time-out and waits as long as the broker is away.


def test_defect_6_the_end_of_a_transaction_waits_without_limit(
    stoppable_kafka: LocalKafka, stoppable_world: World
) -> None:
    producer = stoppable_world.producer(stoppable_world.group)
    producer.begin_transaction()
    producer.send(stoppable_world.output_topic, b"waits").get(PATIENCE_S)
    ending = threading.Thread(target=producer.commit_transaction, daemon=True)
    stoppable_kafka.suspend()
    try:
        ending.start()
        ending.join(5)
        assert ending.is_alive()
    finally:
        stoppable_kafka.resume()
    ending.join(PATIENCE_S)
    assert not ending.is_alive()


@pytest.mark.parametrize(("step", "said"), [("send_offsets", "send the offsets"), ("commit_transaction", "commit")])
def test_defect_6_the_worker_waits_no_longer_than_its_time_out(
    stoppable_kafka: LocalKafka, stoppable_world: World, step: str, said: str
) -> None:
    source, delivery = stoppable_world.worker()
    producer = client_of(delivery)
    real = getattr(producer, step)

    def suspended(*given: Any) -> None:
        """Take the step while the broker is silent; only this step has little time, however busy the machine is."""
        producer.config["max_block_ms"] = 1000
        # For less than its session of 3 s: a fenced broker may forget the markers of a transaction.
        stoppable_kafka.suspend()
        try:
            if (wait := real(*given)) is not None:
                wait()
        finally:
            stoppable_kafka.resume()

    setattr(producer, step, suspended)
    with pytest.raises(TransientError, match=f"{said}: no answer in 1 s|RequestTimedOut"):
        commit(delivery, [make_rated()], {stoppable_world.at(0): 1})
    commit(delivery, [make_rated()], {stoppable_world.at(0): 1})
    assert stoppable_world.ended(source._consumer) == 1


def client_of(delivery: ExactlyOnce) -> Any:
    """Return kafka-python's producer, to plant a fault in."""
    producer: Any = delivery._producer
    return producer._producer


# 7. 3.0.7 and 3.0.8 could stop fetching a partition that was kept over a rebalance.


def test_defect_7_a_kept_partition_goes_on_after_a_rebalance(world: World) -> None:
    source = world.source()
    second = world.member()
    world.settle_membership(source, second)
    second.close(2)
    world.produce(*(make_record("on", topic=world.topic, partition=partition) for partition in (0, 1)))
    seen: set[int] = set()

    def both_came() -> bool:
        seen.update(record.partition for record in source.poll(9, 0.2))
        return seen == {0, 1}

    wait_until(both_came, PATIENCE_S, "a record of each")


def test_defect_7_a_partition_that_returns_nothing_is_reported(world: World) -> None:
    clock = ManualClock()
    producer = world.producer(world.group)
    producer.begin_transaction()
    producer.send(world.topic, b"held back", partition=0).get(PATIENCE_S)
    source = world.source(clock=clock)

    def reported() -> bool:
        clock.advance(20)
        source.poll(10, 0.2)
        return f"{world.topic}-0: records are waiting" in (source.not_ready_reason() or "")

    wait_until(reported, PATIENCE_S, "the stall is reported")
    producer.abort_transaction()

    def withdrawn() -> bool:
        clock.advance(2)
        source.poll(10, 0.2)
        return source.not_ready_reason() is None

    wait_until(withdrawn, PATIENCE_S, "the report is withdrawn")


# 8. A batch that the topic refuses as too large is cut in two and sent, but flush gives up waiting for the pieces.


def test_defect_8_flush_does_not_wait_for_the_pieces_of_a_batch(world: World) -> None:
    small = _topic_of_small_batches(world)
    producer = world.producer(linger_ms=1000, batch_size=100_000)
    for _ in range(50):
        producer.send(small, b"x" * 1000)
    with pytest.raises(kafka_errors.UnknownError, match="Future not done"):
        producer.flush(timeout=PATIENCE_S)


def test_defect_8_the_worker_sends_smaller_batches_to_such_a_topic(world: World) -> None:
    small = _topic_of_small_batches(world)
    source, delivery = world.worker(output_topic=small)
    outcomes = [make_rated(f"r{number}") for number in range(400)]
    commit(delivery, outcomes, {world.at(0): 1})
    assert world.ended(source._consumer) == 1
    seen = [record.key for record in read_topic(world.broker.bootstrap, small)]
    assert seen == [f"r{number}".encode() for number in range(400)]


def _topic_of_small_batches(world: World) -> str:
    name = f"{world.group}.small"
    world.broker.create_topics({name: 1}, {"max.message.bytes": "20000"})
    return name


# 9. A batch that was given up after its time-out does not fail the transaction: it is committed without the batch.


def test_defect_9_the_worker_commits_nothing_once_a_batch_was_given_up(world: World) -> None:
    source, delivery = world.worker()
    producer = client_of(delivery)
    real = producer.send_all

    def give_one_up(*given: Any) -> list[Any]:
        lost = FutureRecordMetadata(FutureProduceResult(TopicPartition(world.output_topic, 0)), 0, 0, None, -1, -1, -1)
        lost.failure(kafka_errors.KafkaTimeoutError("expired"))
        return [*real(*given), (lost, ())]

    producer.send_all = give_one_up
    with pytest.raises(TransientError, match="expired"):
        commit(delivery, [make_rated()], {world.at(0): 1})
    delivery.ping()  # its new producer ends what the one before left open
    assert not world.ended(source._consumer)


# 10. A subscription made while a metadata request is in flight is lost: the answer of the older request clears the
# flag. With `api_version` given, the constructor leaves such a request in flight, and the topic is not asked for until
# `metadata_max_age_ms`, five minutes.


def test_defect_10_topics_named_while_metadata_is_in_flight_are_not_asked_for() -> None:
    cluster = ClusterMetadata()
    cluster.metadata_request()  # of the first connection: no topics
    cluster.set_topics(["reviews"])
    assert cluster.need_update
    broker = MetadataResponse.MetadataResponseBroker(version=8, node_id=1, host="localhost", port=9092, rack=None)
    answer = MetadataResponse[8](throttle_time_ms=0, brokers=[broker], cluster_id="c", controller_id=1, topics=[])
    cluster.update_metadata(answer)
    assert not cluster.need_update, "the subscription is asked for: the defect is gone"


def test_defect_10_the_worker_knows_its_topics_before_it_subscribes(world: World) -> None:
    source: Any = world.member(kafka_api_version="2.3")
    assert source._consumer._cluster.partitions_for_topic(world.topic) == {0, 1}
    assert source._consumer.config["metadata_max_age_ms"] <= 10_000, "what was lost is asked for soon"
