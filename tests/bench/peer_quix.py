"""Quix Streams over raw bytes with the same byte test and decoder, as a process of its own.

Called with servers, topic, group and number of records, by an interpreter that has Quix Streams
(`requirements.lock` beside this). One step of a dataframe, without state; what else is set can but
help it.
"""

import sys
import tempfile

from quixstreams import Application

from .needle import Guest


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
        guest = Guest(int(records))

        def test(value: bytes) -> None:
            if guest.take(value):
                app.stop()

        audit = app.topic(topic, key_deserializer="bytes", value_deserializer="bytes")
        app.dataframe(audit).update(test)
        app.run()


if __name__ == "__main__":
    main()
