"""A bare confluent-kafka loop with the same byte test and decoder, as a process of its own.

Called with servers, topic, group, number of values, and `find`, `sieve` or `whole`. It polls, tests
and decodes, commits once a second as the worker does, and does nothing else; `whole` parses every
envelope and looks at the operation of each record in it.
"""

import sys
import time
from collections.abc import Callable, Iterator

import orjson
from confluent_kafka import Consumer, KafkaException, TopicPartition

from pipeline.sources.sieve import Sieve

from .measure import own_cpu
from .needle import NEEDLE, hits_in
from .result import Used, hand_over

_AT_ONCE = 1000
_COMMIT_EVERY = 1.0
_WORD = NEEDLE.decode()


def main() -> None:
    servers, topic, group, values, test = sys.argv[1:]
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
    count = {"find": _found, "sieve": _sifted(), "whole": _parsed}[test]
    hits = sum(map(count, _values(consumer, int(values))))
    ended = Used(own_cpu(), time.perf_counter())
    consumer.close()
    hand_over(began[0], ended, records=int(values), hits=hits)


def _found(values: list[bytes]) -> int:
    return sum(hits_in(value) for value in values if NEEDLE in value)


def _sifted() -> Callable[[list[bytes]], int]:
    admits = Sieve().admits

    def count(values: list[bytes]) -> int:
        return sum(hits_in(value) for value in values if admits(value))

    return count


def _parsed(values: list[bytes]) -> int:
    return sum(
        _WORD in record["operationName"]
        for value in values
        for record in orjson.loads(value)["records"]
    )


def _values(consumer: Consumer, count: int) -> Iterator[list[bytes]]:
    seen = 0
    committed_at = time.monotonic()
    while seen < count:
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
