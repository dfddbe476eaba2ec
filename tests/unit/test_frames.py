"""Frames come whole and in order, however a transport cuts them, and memory follows what came."""

import asyncio
import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reader.frames import SMALL, Buffers, Receiver
from pipeline.reader.malformed import Malformed


class Beside(asyncio.StreamReaderProtocol):
    """The protocol that learns all but the data."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")

    def eof_received(self) -> bool:
        self.told.append("eof")
        return True

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")


class Taking:
    """Takes frames, and fails on one that says so."""

    def __init__(self, buffers: Buffers | None = None) -> None:
        self.buffers = buffers or Buffers(largest=1 << 22)
        self.taken: list[bytes] = []
        self.failures: list[Exception] = []
        self.beside = Beside()
        self.receiver = Receiver(self.buffers, self._take, self.failures.append, self.beside)

    def _take(self, frame: memoryview) -> None:
        taken = bytes(frame)
        if taken == b"fail":
            raise ValueError("as asked")
        self.taken.append(taken)

    def arrive(self, data: bytes) -> None:
        """Bring bytes as a transport does, as many at once as there is room for."""
        rest = memoryview(data)
        while rest:
            room = self.receiver.get_buffer(-1)
            size = min(len(room), len(rest))
            room[:size] = rest[:size]
            self.receiver.buffer_updated(size)
            rest = rest[size:]


def framed(*frames: bytes) -> bytes:
    return b"".join(struct.pack(">i", len(frame)) + frame for frame in frames)


SIZES = st.one_of(
    st.integers(0, 20), st.sampled_from([SMALL - 5, SMALL - 4, SMALL, 3 * SMALL, (1 << 20) + 1])
)


@given(st.lists(SIZES, max_size=6), st.lists(st.integers(1, 2 * SMALL), min_size=1, max_size=9))
def test_frames_come_whole_and_in_order_however_they_are_cut(
    sizes: list[int], cuts: list[int]
) -> None:
    frames = [bytes([index % 256]) * size for index, size in enumerate(sizes)]
    taking, data, at = Taking(), framed(*frames), 0

    for turn in range(len(data)):
        if at >= len(data):
            break
        cut = cuts[turn % len(cuts)] if turn < 200 else len(data)
        taking.arrive(data[at : at + cut])
        at += cut

    assert taking.taken == frames
    assert not taking.failures


def test_a_frame_of_no_bytes_is_one() -> None:
    taking = Taking()
    taking.arrive(framed(b"", b"a", b""))

    assert taking.taken == [b"", b"a", b""]


def test_a_size_that_is_made_up_takes_no_memory() -> None:
    taking = Taking()
    taking.arrive(struct.pack(">i", 420_000_000) + b"x" * 100)

    assert len(taking.receiver.get_buffer(-1)) < SMALL
    assert not taking.taken


def test_a_negative_size_fails_and_nothing_more_is_taken() -> None:
    taking = Taking()
    taking.arrive(framed(b"a") + struct.pack(">i", -2) + framed(b"b"))
    taking.arrive(framed(b"c"))

    assert taking.taken == [b"a"]
    [failure] = taking.failures
    assert isinstance(failure, Malformed)


def test_what_a_frame_raises_fails_once_and_nothing_more_is_taken() -> None:
    taking = Taking()
    taking.arrive(framed(b"a", b"fail", b"b"))
    taking.arrive(framed(b"fail"))

    assert taking.taken == [b"a"]
    assert [str(each) for each in taking.failures] == ["as asked"]


def test_a_connection_lost_in_the_middle_of_a_frame_gives_its_buffer_back() -> None:
    taking = Taking()
    taking.arrive(framed(b"x" * (1 << 20))[: 1 << 19])
    taking.receiver.connection_lost(None)
    borrowed = taking.buffers.borrow()
    again = Taking(taking.buffers)
    again.arrive(framed(b"b"))

    assert (taking.taken, taking.beside.told) == ([], ["lost"])
    assert borrowed is not taking.buffers.borrow()
    assert again.taken == [b"b"]


def test_large_buffers_are_used_again_by_others_and_giants_do_not_stay() -> None:
    buffers = Buffers(largest=2 << 20)
    one, other = Taking(buffers), Taking(buffers)
    one.arrive(framed(b"x" * (1 << 20)))
    first = buffers.borrow()
    buffers.give_back(first)
    other.arrive(framed(b"y" * (1 << 20)))
    second = buffers.borrow()
    buffers.give_back(second)
    one.arrive(framed(b"z" * (5 << 20)))

    assert first is second
    assert buffers.borrow() is not first
    assert len(buffers.borrow()) <= 2 << 20
    assert [len(each) for each in one.taken] == [1 << 20, 5 << 20]


def test_all_but_the_data_is_passed_on() -> None:
    taking = Taking()
    taking.receiver.pause_writing()
    taking.receiver.resume_writing()
    is_kept_open = taking.receiver.eof_received()
    taking.receiver.connection_lost(OSError())

    assert is_kept_open
    assert taking.beside.told == ["pause", "resume", "eof", "lost"]


@pytest.mark.parametrize("size", [SMALL, 1 << 20, 3 << 20])
def test_a_frame_is_shown_as_a_view_of_the_buffer(size: int) -> None:
    seen: list[Sequence[object]] = []
    buffers = Buffers(largest=1 << 22)
    receiver = Receiver(buffers, lambda frame: seen.append(type(frame).mro()), print, Beside())
    data = framed(b"x" * size)
    while data:
        room = receiver.get_buffer(-1)
        part, data = data[: len(room)], data[len(room) :]
        room[: len(part)] = part
        receiver.buffer_updated(len(part))

    assert [each[0] for each in seen] == [memoryview]
