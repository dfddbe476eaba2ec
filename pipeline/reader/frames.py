"""Frames from a socket into one buffer that is used again: each is looked at where it lies.

A frame of Kafka's protocol is four bytes of size and as many bytes as they say
(https://kafka.apache.org/protocol.html#protocol_common).
"""

import asyncio
import struct
from collections.abc import Callable
from typing import Final

from pipeline.reader.malformed import Malformed

SMALL: Final = 64 << 10
"""Bytes of the buffer that every connection keeps; a larger frame borrows one."""

_SIZE: Final = struct.Struct(">i")
_FIRST_LARGE: Final = 1 << 20
_KEPT: Final = 2


class Buffers:
    """Large buffers for the frames of several connections on one loop.

    A buffer is borrowed only while a frame arrives, so there are about as many as answers on
    their way at once. What is given back is kept up to a size, so that a giant does not stay.

    Args:
        largest: Bytes of the largest buffer to be kept.
    """

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._free: list[bytearray] = []

    def borrow(self) -> bytearray:
        """Return a buffer, the one that was given back last if there is one."""
        return self._free.pop() if self._free else bytearray(_FIRST_LARGE)

    def give_back(self, buffer: bytearray) -> None:
        """Take a buffer back that nobody looks into any more."""
        if len(buffer) <= self._largest and len(self._free) < _KEPT:
            self._free.append(buffer)


class Receiver(asyncio.BufferedProtocol):
    """Receives what a transport brings, and shows each frame as soon as it is whole.

    A buffer grows with what has arrived, to twice of it at most: a size that is made up costs
    nothing.

    Args:
        buffers: Where to borrow from for large frames.
        take: Given each frame without its size, as a view that is good only until it returns.
        fail: Given whatever `take` raised, or `Malformed`; nothing more is taken then. It is to
            close the transport.
        beside: The protocol that is told of everything else than data.
    """

    def __init__(
        self,
        buffers: Buffers,
        take: Callable[[memoryview], None],
        fail: Callable[[Exception], None],
        beside: asyncio.StreamReaderProtocol,
    ) -> None:
        self._buffers = buffers
        self._take = take
        self._fail = fail
        self._beside = beside
        self._small = self._buffer = bytearray(SMALL)
        self._view = memoryview(self._buffer)
        self._filled = 0
        self._has_failed = False

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Say where to put what comes next."""
        if self._filled == len(self._buffer):
            self._grow()
        return self._view[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Take the frames that have become whole."""
        if self._has_failed:
            return
        self._filled += nbytes
        try:
            start = self._take_frames()
        except Exception as error:  # noqa: BLE001 - whatever it is, no frame after it can be trusted
            self._has_failed = True
            self._fail(error)
            self._filled = 0
        else:
            if start:
                self._move_up(start)

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on that the connection has gone; what has come of a frame is forgotten."""
        self._has_failed = True
        self._use(self._small)
        self._beside.connection_lost(exc)

    def eof_received(self) -> bool:
        """Pass on that nothing more comes."""
        return bool(self._beside.eof_received())

    def pause_writing(self) -> None:
        """Pass on that the transport's buffer for writing is full."""
        self._beside.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that there is room for writing again."""
        self._beside.resume_writing()

    def _take_frames(self) -> int:
        """Take what is whole, and return where the first frame begins that is not."""
        start = 0
        while self._filled - start >= _SIZE.size:
            (size,) = _SIZE.unpack_from(self._buffer, start)
            if size < 0:
                raise Malformed(f"a frame of {size} bytes")
            stop = start + _SIZE.size + size
            if stop > self._filled:
                break
            with self._view[start + _SIZE.size : stop] as frame:
                self._take(frame)
            start = stop
        return start

    def _move_up(self, start: int) -> None:
        rest = self._view[start : self._filled]
        self._filled = len(rest)
        if self._buffer is not self._small and len(rest) < SMALL:
            memoryview(self._small)[: len(rest)] = rest
            self._use(self._small)
        else:
            self._view[: len(rest)] = rest

    def _grow(self) -> None:
        """Make room for what is missing of the frame that fills the buffer."""
        larger = self._buffers.borrow()
        if len(larger) <= self._filled:
            (size,) = _SIZE.unpack_from(self._buffer)
            larger = bytearray(min(_SIZE.size + size, 2 * self._filled))
        memoryview(larger)[: self._filled] = self._view
        self._use(larger)

    def _use(self, buffer: bytearray) -> None:
        if self._buffer is not self._small:
            self._buffers.give_back(self._buffer)
        self._buffer = buffer
        self._view = memoryview(buffer)
