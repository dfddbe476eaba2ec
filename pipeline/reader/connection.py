"""How a consumer comes to be and goes: reachable brokers, existing topics, a bounded end."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

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
_METADATA_PAUSE = 0.25
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
    consumer = sifting_consumer(
        sifter,
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
        **settings.client,
    )
    existing = await start(
        consumer, settings.bootstrap_servers, settings.start_timeout.total_seconds()
    )
    if missing := sorted(set(topics) - existing):
        await disconnect(consumer, within=settings.stop_timeout.total_seconds())
        raise ConfigError(
            "\n".join(
                f"topic {topic}: does not exist: run masswatch topics apply" for topic in missing
            )
        )
    return consumer


def sifting_consumer(sifter: Sifter, *, fetch_max_bytes: int, **settings: Any) -> AIOKafkaConsumer:
    """Return a consumer of committed values that has not been started.

    Args:
        sifter: Sifts the answers to fetches as they come.
        fetch_max_bytes: Most bytes of one answer.
        settings: Further arguments of `AIOKafkaConsumer`.
    """
    consumer = AIOKafkaConsumer(
        fetch_max_bytes=fetch_max_bytes,
        enable_auto_commit=False,
        isolation_level="read_committed",
        **settings,
    )
    client.be_patient(consumer, _METADATA_PAUSE)
    wire.receive_in_place(
        consumer,
        Buffers(largest=fetch_max_bytes + _MEBIBYTE),
        partial(fetched.sift_answer, sifter),
    )
    return consumer


async def start(consumer: AIOKafkaConsumer, servers: str, within: float) -> set[str]:
    """Reach the brokers in so many seconds, and return the topics that there are.

    Raises:
        BrokerUnavailable: no broker answers in time; the consumer is closed.
    """
    try:
        async with asyncio.timeout(within):
            await consumer.start()
            existing: set[str] = await consumer.topics()
    except (KafkaError, TimeoutError) as error:
        await disconnect(consumer, within=_ABANDON_WITHIN)
        raise BrokerUnavailable(
            f"{servers}: no broker answers: start it, or correct the address and the security "
            f"settings ({error or type(error).__name__})"
        ) from error
    return existing


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
