"""How a consumer comes to be and goes: reachable brokers, existing topics, a bounded end."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
)

from pipeline.core.errors import BrokerRefuses, BrokerUnavailable, ConfigError
from pipeline.reader.aiokafka_parts import client, fetched, wire
from pipeline.reader.frames import Buffers
from pipeline.reader.settings import ReaderSettings
from pipeline.reader.sifting import Sifter

_NEVER = timedelta(days=20)
METADATA_PAUSE = 0.25
_ABANDON_WITHIN = 1.0
_MEBIBYTE = 1 << 20

_log = structlog.get_logger()


async def connect(
    settings: ReaderSettings, topics: Sequence[str], sifter: Sifter
) -> AIOKafkaConsumer:
    """Return a consumer that is connected, and subscribed to nothing yet.

    Args:
        settings: How to reach Kafka.
        topics: What will be read.
        sifter: Sifts the answers to fetches as they come.

    Raises:
        BrokerUnavailable: no broker answers in time.
        ConfigError: a topic does not exist.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers,
        group_id=settings.group_id,
        session_timeout_ms=_milliseconds(settings.session_timeout),
        heartbeat_interval_ms=_milliseconds(settings.heartbeat_interval),
        rebalance_timeout_ms=_milliseconds(settings.rebalance_timeout),
        request_timeout_ms=_milliseconds(settings.request_timeout),
        # Leaving an idle group on our own account would be for ever, as nobody polls then.
        max_poll_interval_ms=_milliseconds(_NEVER),
        fetch_max_bytes=settings.fetch_max_bytes,
        max_partition_fetch_bytes=settings.partition_fetch_max_bytes,
        partition_assignment_strategy=(RoundRobinPartitionAssignor,),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
        **settings.client,
    )
    client.be_patient(consumer, METADATA_PAUSE)
    wire.receive_in_place(
        consumer,
        Buffers(largest=settings.fetch_max_bytes + _MEBIBYTE),
        partial(fetched.sift_answer, sifter),
    )
    try:
        async with asyncio.timeout(settings.start_timeout.total_seconds()):
            await consumer.start()
            existing = await consumer.topics()
    except (KafkaError, TimeoutError) as error:
        await disconnect(consumer, within=_ABANDON_WITHIN)
        raise BrokerUnavailable(
            f"{settings.bootstrap_servers}: no broker answers: start it, or correct the address "
            f"and the security settings ({error or type(error).__name__})"
        ) from error
    if missing := sorted(set(topics) - existing):
        await disconnect(consumer, within=settings.stop_timeout.total_seconds())
        raise ConfigError(
            "\n".join(
                f"topic {topic}: does not exist: run masswatch topics apply" for topic in missing
            )
        )
    return consumer


async def disconnect(consumer: AIOKafkaConsumer, within: float) -> None:
    """Leave the group and close every connection, in so many seconds and one more at most."""
    leaving = asyncio.ensure_future(consumer.stop())
    await asyncio.wait({leaving}, timeout=within)
    if leaving.done() and not leaving.cancelled() and leaving.exception() is None:
        return
    leaving.cancel()
    abandoning = asyncio.ensure_future(client.abandon(consumer))
    await asyncio.wait({leaving, abandoning}, timeout=_ABANDON_WITHIN)
    _log.warning("group.abandoned", finished=leaving.done() and abandoning.done())


def refusal(error: GroupAuthorizationFailedError | TopicAuthorizationFailedError) -> BrokerRefuses:
    """Say what our user may not do, and where."""
    about = error.args[0]  # a name, or a set of names
    names = about if isinstance(about, str) else ", ".join(sorted(about))
    where = ("group " if isinstance(error, GroupAuthorizationFailedError) else "topic ") + names
    return BrokerRefuses(
        f"{where}: Read is not allowed to this user: extend its ACLs (README, Least privileges)"
    )


def _milliseconds(time: timedelta) -> int:
    return round(time.total_seconds() * 1000)
