"""Audit events at a steady rate until told to stop, as a process of its own.

Called with servers, topic and events per second. One event a value, in steps of 10 ms or
as long as one takes.
"""

import signal
import sys
import time
from itertools import cycle

from confluent_kafka import Producer

from pipeline.wiring import clock

from .records import HIT_EVERY, ordinary_traffic

_STEP = 0.01


def main() -> None:
    servers, topic, rate = sys.argv[1:]
    told: list[int] = []  # no event: setting one from a handler can wait for its own thread
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    traffic = ordinary_traffic(clock())
    values = cycle(
        value for _, value in traffic.stream(len(traffic.plain) // HIT_EVERY * HIT_EVERY)
    )
    producer = Producer(
        {"bootstrap.servers": servers, "acks": "all", "linger.ms": "5", "log_level": "0"}
    )
    step = max(_STEP, 1 / int(rate))
    at_once, due = round(int(rate) * step), time.monotonic()
    while not told:
        for _ in range(at_once):
            producer.produce(topic, next(values))
        producer.poll(0)
        due += step
        time.sleep(max(0.0, due - time.monotonic()))
    producer.flush(10)


if __name__ == "__main__":
    main()
