"""Why Faust's own Kafka client is switched off: each row of what was seen to lose records.

Plain Faust programs on a real Kafka, most of them at once. A test that fails here says that a new
release of Faust does something else than the one this was built around (0.15.3). That may be for
the better: then look at what stands in `pipeline/reader` and `pipeline/worker` because of that row.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, Final

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from faust.types import TP
from kafka_topic import KafkaTopic, Put

from pipeline.localstack import Addresses, Stack
from pipeline.localstack.wait import until
from pipeline.worker.app import make_app

PROGRAM: Final = Path(__file__).parent / "plain_faust.py"
SIX: Final = ("1", "2", "3", "4", "5", "6")
STARTS_WITHIN: Final = 90.0
ENDS_WITHIN: Final = 30.0


def changed(row: str, look_at: str) -> str:
    """Say what it means when a row does not come out as it did."""
    return f"faust {version('faust-streaming')} has changed row {row}: look at {look_at}"


class Program:
    """A plain Faust program in a process of its own, on a topic with some values."""

    def __init__(self, topic: KafkaTopic, folder: Path, *options: str, group: str = "") -> None:
        self.topic = topic
        self.group = group or f"{topic.name}.group"
        self.since = time.monotonic()
        self._folder = folder
        self._lines: list[dict[str, Any]] = []
        self._said = threading.Condition()
        folder.mkdir(parents=True)
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    str(PROGRAM),
                    topic.client["bootstrap.servers"],
                    topic.name,
                    self.group,
                    str(folder),
                    *options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        self._listener = threading.Thread(target=self._listen, args=(self._process.stdout,))
        self._listener.start()

    def said(self, what: str) -> list[str]:
        """Return what it has started, sent or done, in its order."""
        return [line[what] for line in self.lines if what in line]

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Everything that it has said."""
        with self._said:
            return list(self._lines)

    def waits_until(self, holds: Callable[[], bool], within: float = STARTS_WITHIN) -> bool:
        """Wait for something that it says; tell whether it came."""
        with self._said:
            return self._said.wait_for(holds, within)

    def has_done(self, *values: str) -> bool:
        """Wait until it has done all of these; tell whether it has."""
        return self.waits_until(lambda: set(values) <= {one.get("done") for one in self._lines})

    def has_started(self, value: str) -> bool:
        """Wait until it has begun with this; tell whether it has."""
        return self.waits_until(lambda: any(one.get("started") == value for one in self._lines))

    def has_committed(self, offset: int) -> bool:
        """Wait until its group has committed so much of partition 0; tell whether it has."""
        consumer = Consumer({**self.topic.client, "group.id": self.group})
        asked = [TopicPartition(self.topic.name, 0)]
        try:
            return until(lambda: consumer.committed(asked, 10)[0].offset == offset, within=20)
        finally:
            consumer.close()

    def release(self) -> None:
        """Let it go on with the value that it holds on to."""
        (self._folder / "release").touch()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def ends(self, within: float) -> bool:
        """Wait for its end; tell whether it came."""
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            return False
        self._listener.join()
        return True

    def kill(self) -> None:
        """End it, if it has not ended."""
        self._process.kill()
        self._process.wait()
        self._listener.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _listen(self, output: IO[bytes]) -> None:
        for line in output:
            _, brace, rest = line.partition(b"{")  # what comes before hides the cursor
            if brace:
                with self._said:
                    self._lines.append(json.loads(brace + rest))
                    self._said.notify_all()


ROWS: Final = {
    "A": ("--fail-on", "2"),
    "B": ("--hold-on", "1"),
    "C": ("--hold-on", "1", "--wait-not"),
    "D": ("--hold-on", "1", "--concurrency", "2"),
    "G": ("--forward",),
    "J": ("--transport", "confluent"),
    "L": ("--batches",),
    "7": (),
}


@pytest.fixture(scope="module")
def programs(
    stack: Addresses, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Program]]:
    """A program for each row, all of them under way at once."""
    folder, started = tmp_path_factory.mktemp("rows"), dict[str, Program]()
    with ExitStack() as ended:
        for row, options in ROWS.items():
            topic = KafkaTopic(f"{folder.name}.{folder.parent.name}.{row}", stack.client).create()
            values = {"L": [str(number) for number in range(2_000)], "7": []}.get(row, SIX)
            topic.put(*(Put(value.encode()) for value in values))
            if row == "G":
                KafkaTopic(f"{topic.name}.sink", stack.client).create(max_message_bytes="500")
            if row == "7":
                abort(topic, b"aborted")
                topic.put(Put(b"kept"))
            started[row] = Program(topic, folder / row, *options)
            ended.callback(started[row].kill)
        yield started


def abort(topic: KafkaTopic, value: bytes) -> None:
    """Write a value in a transaction that is aborted."""
    producer = Producer({**topic.client, "transactional.id": topic.name})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(topic.name, value, partition=0)
    producer.flush(20)
    producer.abort_transaction(20)


@pytest.mark.stack
def test_row_a_what_escapes_an_agent_is_committed_and_never_comes_again(
    programs: dict[str, Program],
) -> None:
    program = programs["A"]

    assert program.has_done("6")
    assert program.has_committed(6), changed("A", "pipeline/worker/holding.py")
    program.topic.put(Put(b"7"))
    assert program.has_done("7")
    assert program.said("started") == [*SIX, "7"], changed("A", "pipeline/worker/holding.py")
    assert program.said("done") == ["1", *SIX[2:], "7"]


@pytest.mark.stack
def test_row_b_on_sigterm_the_value_in_hand_is_waited_for(programs: dict[str, Program]) -> None:
    program = programs["B"]
    assert program.has_started("1")

    program.signal(signal.SIGTERM)

    assert not program.ends(1), changed("B", "stream_wait_empty")
    program.release()
    assert program.ends(ENDS_WITHIN)
    assert "1" in program.said("done"), changed("B", "stream_wait_empty")
    assert program.has_committed(len(program.said("done")))


@pytest.mark.stack
def test_row_c_on_sigterm_the_value_in_hand_is_lost_when_it_is_not_waited_for(
    programs: dict[str, Program],
) -> None:
    program = programs["C"]
    assert program.has_started("1")

    program.signal(signal.SIGTERM)

    assert program.ends(ENDS_WITHIN)
    assert not program.said("done"), changed("C", "stream_wait_empty")
    assert program.has_committed(1), changed("C", "stream_wait_empty")


@pytest.mark.stack
def test_row_d_with_two_at_once_the_value_in_hand_is_committed_by_its_neighbours(
    programs: dict[str, Program],
) -> None:
    program = programs["D"]

    assert program.has_done(*SIX[1:])
    assert program.has_committed(6), changed("D", "pipeline/reader/books.py")
    assert "1" not in program.said("done")


@pytest.mark.stack
def test_row_g_a_send_that_was_awaited_and_failed_is_committed(
    programs: dict[str, Program],
) -> None:
    program = programs["G"]
    sink = KafkaTopic(f"{program.topic.name}.sink", program.topic.client)

    assert program.has_done("6")
    assert program.has_committed(6), changed("G", "pipeline/adapters/kafka_deliveries.py")
    assert not any(line["delivered"] for line in program.lines if "sent" in line), changed(
        "G", "pipeline/adapters/kafka_deliveries.py"
    )
    assert sink.messages() == [], changed("G", "pipeline/adapters/kafka_deliveries.py")


@pytest.mark.stack
def test_row_l_a_consumer_may_hand_over_all_it_fetched_as_one_message(
    programs: dict[str, Program],
) -> None:
    program = programs["L"]

    assert program.waits_until(lambda: bool(program.said("done")))
    assert program.said("done")[0].endswith(" values")
    assert len(program.said("done")) < 20, changed("L", "what a record costs in Faust")


@pytest.mark.stack
def test_an_aborted_value_reaches_an_agent(programs: dict[str, Program]) -> None:
    program = programs["7"]

    assert program.has_done("kept")
    assert program.said("done") == ["aborted", "kept"], changed(
        "7 (Faust's own paths)", "isolation_level of pipeline/reader"
    )


@pytest.mark.stack
def test_row_i_one_at_a_time_nothing_is_lost_when_a_worker_is_killed(
    stack: Addresses, prefix: str, tmp_path: Path
) -> None:
    topic, values = KafkaTopic(f"{prefix}i", stack.client).create(2), set[str]()
    with ExitStack() as ended:
        one, other = (
            Program(topic, tmp_path / name, "--session", "3", group=f"{prefix}i")
            for name in ("one", "other")
        )
        ended.callback(one.kill)
        ended.callback(other.kill)

        def put_some() -> bool:
            some = [str(len(values) + number) for number in range(20)]
            values.update(some)
            topic.put(*(Put(of.encode(), partition=int(of) % 2) for of in some))
            return bool(one.said("done") and other.said("done"))

        assert until(put_some, within=STARTS_WITHIN, every=0.2)
        one.signal(signal.SIGKILL)
        put_some()

        assert until(
            lambda: values <= {*one.said("done"), *other.said("done")}, within=STARTS_WITHIN
        ), changed("I", "whether at least once still holds in the safe subset")


@pytest.mark.stack
def test_row_j_with_the_confluent_transport_no_partition_is_ever_assigned(
    programs: dict[str, Program],
) -> None:
    program = programs["J"]

    within = max(0.0, program.since + 15 - time.monotonic())

    arrived = program.waits_until(lambda: bool(program.lines), within)

    assert not arrived, changed("J", "whether librdkafka could now feed Faust itself")


@pytest.mark.stack
def test_row_h_without_a_broker_it_neither_ends_nor_obeys_sigterm(
    own_stack: Stack, tmp_path: Path
) -> None:
    topic = KafkaTopic("h", own_stack.client).create().put(Put(b"1"))
    program = Program(topic, tmp_path / "h")
    try:
        assert program.has_done("1")
        os.kill(own_stack.kafka.pid, signal.SIGKILL)

        assert not program.ends(3), changed("H", "pipeline/worker/watchdog.py")
        program.signal(signal.SIGTERM)
        assert not program.ends(6), changed("H", "the time that a SIGTERM may take")
    finally:
        program.kill()


PARTITION: Final = TP("topic", 0)


@pytest.mark.parametrize(
    ("row", "committed", "acknowledged", "offset"),
    [
        ("E", 2585, range(2586, 2590), 2590),
        ("F", None, range(1, 4), 4),
        ("1 (Faust's own paths)", 100, [1099], None),
    ],
    ids=["2585 is in hand", "0 is in hand and nothing committed", "a batch is never committed"],
)
def test_rows_e_and_f_what_is_committed_passes_what_is_in_hand(
    row: str, committed: int | None, acknowledged: Sequence[int], offset: int | None
) -> None:
    async def main() -> int | None:
        app = make_app("contract")
        try:
            consumer: Any = app.consumer
            consumer._committed_offset[PARTITION] = committed
            consumer._acked[PARTITION].extend(acknowledged)
            committable: int | None = consumer._new_offset(PARTITION)
            return committable
        finally:
            await app.stop()

    assert asyncio.run(main()) == offset, changed(row, "pipeline/reader/books.py")
