"""The one place that reaches into private parts of Faust, and why.

Made for Faust 0.15.3; `tests/contract/test_faust_parts.py` fails on a version where one of these
parts has changed.

A stream asks the app for its Kafka consumer, which is made for that, connects to nothing, and
opens an event loop for a thread that never starts. Nobody else closes it.
"""

import faust


def close_unused_loop(app: faust.App) -> None:
    """Close the event loop of the consumer that was made and never started."""
    app.consumer._thread.thread_loop.close()  # type: ignore[attr-defined]  # noqa: SLF001 - as above
