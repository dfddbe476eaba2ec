"""Quix Streams over raw bytes with the same byte test and decoder, as a process of its own.

Called with servers, topic, group and number of records, by an interpreter that has Quix Streams
(`requirements.lock` beside this). One step of a dataframe, without state; what else is set can but
help it.
"""

import sys
import tempfile
import time

from quixstreams import Application

from .measure import own_cpu
from .needle import hits_in
from .result import WARM_UP, Used, hand_over


def main() -> None:
    servers, topic, group, records = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        app = Application(
            servers,
            consumer_group=group,
            auto_offset_reset="earliest",
            auto_create_topics=False,
            consumer_extra_config={"isolation.level": "read_committed"},
            state_dir=folder,
            loglevel="ERROR",
        )
        hits = seen = 0
        began = Used(0.0, 0.0)
        last = WARM_UP + int(records)

        def test(value: bytes) -> None:
            nonlocal began, hits, seen
            seen += 1
            hits += hits_in(value)
            if seen == WARM_UP:
                began, hits = Used(own_cpu(), time.perf_counter()), 0
            elif seen == last:
                ended = Used(own_cpu(), time.perf_counter())
                hand_over(began, ended, records=int(records), hits=hits)
                app.stop()

        audit = app.topic(topic, key_deserializer="bytes", value_deserializer="bytes")
        app.dataframe(audit).update(test)
        app.run()


if __name__ == "__main__":
    main()
