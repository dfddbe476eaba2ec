"""Part 1: answers received into one buffer, and those to fetches sifted where they lie."""

from collections.abc import Callable
from functools import partial
from types import FunctionType, MethodType, SimpleNamespace
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection, CloseReason, create_conn
from aiokafka.protocol.fetch import FetchRequest

from pipeline.reader.frames import Buffers, Receiver

Sift = Callable[[Any, Any], None]
"""Given the request of a fetch and its answer, before anybody else sees the answer."""

_COPIED: Final = 4096
"""Bytes of an answer's texts up to which they are copied: names of topics, no stored batches."""

_log = structlog.get_logger()


def receive_in_place(consumer: AIOKafkaConsumer, buffers: Buffers, sift: Sift) -> None:
    """Let the connections of a consumer receive into buffers; to be called before it starts.

    Args:
        consumer: Not started yet.
        buffers: Where to borrow from for large answers.
        sift: Replaces the stored batches in the answer to a fetch. They are bytes or views, and
            the views are good only until it returns.
    """
    client = consumer._client  # noqa: SLF001 - part 1
    original = AIOKafkaClient._get_conn  # noqa: SLF001 - part 1
    names = {**original.__globals__, "create_conn": partial(_connected, buffers, sift)}
    function = FunctionType(original.__code__, names, argdefs=original.__defaults__)
    function.__kwdefaults__ = original.__kwdefaults__
    client._get_conn = MethodType(function, client)  # noqa: SLF001 - part 1


async def _connected(
    buffers: Buffers, sift: Sift, *args: Any, **settings: Any
) -> AIOKafkaConnection:
    connection = await create_conn(*args, **settings)
    # Every request so far has been answered, so nothing is under way to the former protocol.
    receiver = Receiver(
        buffers,
        partial(_take, connection, sift),
        partial(_fail, connection),
        beside=connection._protocol,  # noqa: SLF001 - part 1
    )
    connection._writer.transport.set_protocol(receiver)  # noqa: SLF001 - part 1
    return connection


def _take(connection: AIOKafkaConnection, sift: Sift, frame: memoryview) -> None:
    _, request, future = connection._requests[0]  # noqa: SLF001 - part 1
    if request is None or request.API_KEY != FetchRequest.API_KEY:
        connection._handle_frame(bytes(frame))  # noqa: SLF001 - part 1
        return
    _HANDLE_FETCHED(connection, frame)
    if future.done() and not future.cancelled() and future.exception() is None:
        sift(request, future.result())


def _fail(connection: AIOKafkaConnection, error: Exception) -> None:
    _log.warning(
        "connection.out_of_sync",
        broker=f"{connection.host}:{connection.port}",
        error=f"{type(error).__name__}: {error}",
    )
    connection.close(reason=CloseReason.OUT_OF_SYNC, exc=error)


class _Views:
    """Stands for `io.BytesIO`: reads views of stored batches, and copies of all else."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._position = 0

    def read(self, size: int) -> bytes | memoryview:
        start = self._position
        self._position = min(start + size, len(self._data))
        part = self._data[start : self._position]
        return part if size > _COPIED else bytes(part)


_HANDLE_FETCHED: Final = FunctionType(
    AIOKafkaConnection._handle_frame.__code__,  # noqa: SLF001 - part 1
    {
        **AIOKafkaConnection._handle_frame.__globals__,  # noqa: SLF001 - part 1
        "io": SimpleNamespace(BytesIO=_Views),
    },
)
