"""A bare confluent-kafka loop with the same byte test and decoder, as a process of its own.

Called with servers, topic, group, number of records, and `find` or `sieve`. It polls, tests and
decodes, commits once a second as the worker does, and does nothing else.
"""

import sys
import time
from collections.abc import Iterator

from confluent_kafka import Consumer, KafkaException, TopicPartition

from pipeline.sources.decode import Decoder
from pipeline.sources.outcome import Ignored
from pipeline.sources.sieve import Sieve

from .measure import own_cpu
from .records import NEEDLE
from .result import Used, hand_over

_AT_ONCE = 1000
_COMMIT_EVERY = 1.0


def main() -> None:
    servers, topic, group, records, test = sys.argv[1:]
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    began: list[Used] = []

    def on_assign(_: Consumer, __: list[TopicPartition]) -> None:
        began.append(Used(own_cpu(), time.perf_counter()))

    consumer.subscribe([topic], on_assign=on_assign)
    read = _read_with_find if test == "find" else _read_with_sieve
    hits = read(consumer, int(records))
    ended = Used(own_cpu(), time.perf_counter())
    consumer.close()
    hand_over(began[0], ended, records=int(records), hits=hits)


def _read_with_find(consumer: Consumer, records: int) -> int:
    decode = Decoder()
    hits = 0
    for values in _values(consumer, records):
        for value in values:
            if value.find(NEEDLE) >= 0:
                hits += sum(isinstance(one.decoded, Ignored) for one in decode(value))
    return hits


def _read_with_sieve(consumer: Consumer, records: int) -> int:
    decode, admits = Decoder(), Sieve().admits
    hits = 0
    for values in _values(consumer, records):
        for value in values:
            if admits(value):
                hits += sum(isinstance(one.decoded, Ignored) for one in decode(value))
    return hits


def _values(consumer: Consumer, records: int) -> Iterator[list[bytes]]:
    seen = 0
    committed_at = time.monotonic()
    while seen < records:
        messages = consumer.consume(_AT_ONCE, 1.0)
        for message in messages:
            if message.error() is not None:
                raise KafkaException(message.error())
        seen += len(messages)
        yield [message.value() or b"" for message in messages]
        if time.monotonic() - committed_at > _COMMIT_EVERY:
            consumer.commit(asynchronous=True)
            committed_at = time.monotonic()


if __name__ == "__main__":
    main()
