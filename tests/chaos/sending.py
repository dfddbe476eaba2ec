"""How a history gets into the source topics, by a producer that gives up on nothing."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import count

from chaos.history import History, Value
from confluent_kafka import KafkaError, KafkaException, Message, Producer

PIECES = 40
OVER_AND_OVER = b"over and over"
"""The key of records that leave gaps when the topic is compacted."""

FILLER = b"{}"
"""Their value, which means nothing."""

_PATIENCE = 120.0


class Means(StrEnum):
    """What kind of producer writes to the source topics."""

    PLAIN = "plain"
    TRANSACTIONS = "transactions, some of them aborted"
    COMPACTED = "keys, into compacted topics"


@dataclass(frozen=True, slots=True)
class Sending:
    """How values are sent: by what means, compressed how, over how many seconds.

    `ahead` is the share of them that is there before the first worker starts.
    """

    means: Means
    codec: str
    seconds: float
    ahead: float


class Feed:
    """Sends a history in pieces, in a thread of its own.

    Args:
        client: librdkafka's settings.
        name: No other feed on this cluster has it.
    """

    def __init__(
        self, client: Mapping[str, str], name: str, history: History, sending: Sending
    ) -> None:
        self._settings = {
            **client,
            "enable.idempotence": "true",
            "compression.type": sending.codec,
            "linger.ms": "5",
            "log_level": "0",
            "message.max.bytes": str(2 * 1024 * 1024),
            "delivery.timeout.ms": str(int(_PATIENCE * 1000)),
        }
        self._name = name
        self._history = history
        self._sending = sending
        self._hurry = threading.Event()
        self._is_ahead = threading.Event()
        self._go = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def start(self) -> None:
        """Send what is to be there before the workers."""
        self._thread.start()
        while not self._is_ahead.wait(0.1):
            if not self._thread.is_alive():
                self.finish()

    def go_on(self) -> None:
        """Begin to send the rest."""
        self._go.set()

    def finish(self) -> None:
        """Send what is left without a pause, and wait until all is confirmed."""
        self._hurry.set()
        self._go.set()
        self._thread.join()
        if self._failed is not None:
            raise self._failed

    def _run(self) -> None:
        try:
            send = self._transactions if self._is_transactional else self._plainly
            send(self._paced())
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that waits
            self._failed = error

    @property
    def _is_transactional(self) -> bool:
        return self._sending.means is Means.TRANSACTIONS

    def _paced(self) -> Iterator[Sequence[Value]]:
        values, ahead = self._history.values, round(self._sending.ahead * PIECES)
        began, size = time.monotonic(), -(-len(values) // PIECES)
        for number in range(PIECES):
            if number == ahead:
                self._is_ahead.set()
                self._go.wait()
                began = time.monotonic()
            if number >= ahead:
                moment = began + self._sending.seconds * (number - ahead) / PIECES
                self._hurry.wait(max(0.0, moment - time.monotonic()))
            yield values[number * size : (number + 1) * size]
        self._is_ahead.set()

    def _plainly(self, pieces: Iterator[Sequence[Value]]) -> None:
        producer = Producer(self._settings)
        lost: list[KafkaError] = []
        keys = count()

        def reported(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                lost.append(error)

        for piece in pieces:
            for topic, value in piece:
                key = None
                if self._sending.means is Means.COMPACTED:
                    _produce(producer, topic, FILLER, OVER_AND_OVER, reported)
                    key = b"%d" % next(keys)
                _produce(producer, topic, value, key, reported)
            producer.poll(0)
        if left := producer.flush(_PATIENCE):
            raise AssertionError(f"{left} values not confirmed within {_PATIENCE} s")
        if lost:
            raise AssertionError(f"{len(lost)} values not delivered: {lost[0].str()}")

    def _transactions(self, pieces: Iterator[Sequence[Value]]) -> None:
        writer = _Writer(self._settings, self._name)
        never = self._history.aborted
        size = -(-len(never) // PIECES)
        for number, piece in enumerate(pieces):
            writer.commit(piece)
            if number % 3 == 0:
                writer.abort(never[number * size : (number + 3) * size])


class _Writer:
    """Transactions that are tried until one is known to be committed.

    A transaction of unknown outcome is written once more: copies do no harm.
    """

    def __init__(self, settings: Mapping[str, str], name: str) -> None:
        self._settings = {
            **settings,
            "transactional.id": name,
            "transaction.timeout.ms": "60000",
            "delivery.timeout.ms": "60000",
        }
        self._producer: Producer | None = None

    def commit(self, values: Sequence[Value]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                producer = self._written(values)
                _again(partial(producer.commit_transaction, 10), deadline)
            except KafkaException:
                self._producer = None
                if time.monotonic() > deadline:
                    raise
            else:
                return

    def abort(self, values: Sequence[Value]) -> None:
        deadline = time.monotonic() + _PATIENCE
        try:
            producer = self._written(values)
            producer.flush(5)
            _again(partial(producer.abort_transaction, 10), deadline)
        except KafkaException:
            # The next one by this name ends it.
            self._producer = None

    def _written(self, values: Sequence[Value]) -> Producer:
        deadline = time.monotonic() + _PATIENCE
        if self._producer is None:
            producer = Producer(self._settings)
            _again(partial(producer.init_transactions, 10), deadline)
            self._producer = producer
        producer = self._producer
        producer.begin_transaction()
        for topic, value in values:
            _produce(producer, topic, value, None)
        return producer


def _again(call: Callable[[], None], deadline: float) -> None:
    while True:
        try:
            call()
        except KafkaException as failed:
            if not failed.args[0].retriable() or time.monotonic() > deadline:
                raise
        else:
            return


def _produce(
    producer: Producer,
    topic: str,
    value: bytes | None,
    key: bytes | None,
    reported: Callable[[KafkaError | None, Message], None] | None = None,
) -> None:
    while True:
        try:
            producer.produce(topic, value, key, on_delivery=reported)
        except BufferError:
            producer.poll(0.1)
        else:
            return
