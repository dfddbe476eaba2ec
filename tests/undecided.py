"""Transactions that a partition holds open, and that no coordinator will ever end."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from aiokafka import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its stubs do not re-export
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

VERIFYING = "transaction.partition.verification.enable"
INVALID_TXN_STATE = 48
SECONDS = 10


async def leave_undecided(
    client: Mapping[str, str], transactional_id: str, topic: str, partition: int, value: bytes
) -> None:
    """Append a record as an owner does whose commit was confirmed and whose marker never written.

    The coordinator hands the producer id out and never hears of the transaction, which to it is
    the same as one that has ended.
    """
    Producer({**client, "transactional.id": transactional_id}).init_transactions(SECONDS)
    kafka = AIOKafkaClient(bootstrap_servers=client["bootstrap.servers"])
    await kafka.bootstrap()
    try:
        [node] = [broker.nodeId for broker in kafka.cluster.brokers()]
        owner = await kafka.send(node, InitProducerIdRequest(transactional_id, SECONDS * 1000))
        batch = DefaultRecordBatchBuilder(
            2, 0, 1, owner.producer_id, owner.producer_epoch, 0, 1 << 20
        )
        batch.append(0, 1_700_000_000_000, b"key", value, [])
        records = [(topic, [(partition, bytes(batch.build()))])]
        request = ProduceRequest(transactional_id, -1, SECONDS * 1000, records)
        deadline = time.monotonic() + SECONDS
        error = INVALID_TXN_STATE
        with _unverified(client, node):
            # A broker follows a setting only some time after the controller has confirmed it.
            while error == INVALID_TXN_STATE and time.monotonic() < deadline:
                [[_, [[_, error, *_]]]] = (await kafka.send(node, request)).topics
    finally:
        await kafka.close()
    assert error == 0


@contextmanager
def _unverified(client: Mapping[str, str], broker: int) -> Iterator[None]:
    """Let a broker take records of transactions without asking the coordinator about them."""
    _configure(client, broker, "false", AlterConfigOpType.SET)
    try:
        yield
    finally:
        _configure(client, broker, "", AlterConfigOpType.DELETE)


def _configure(
    client: Mapping[str, str], broker: int, value: str, operation: AlterConfigOpType
) -> None:
    admin = AdminClient(dict(client))
    entry = ConfigEntry(VERIFYING, value, incremental_operation=operation)
    change = ConfigResource(ResourceType.BROKER, str(broker), incremental_configs=[entry])
    for done in admin.incremental_alter_configs([change]).values():
        done.result(SECONDS)
