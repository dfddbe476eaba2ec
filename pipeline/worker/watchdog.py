"""Ends a worker that no longer makes progress, as Kafka's clients can die in silence."""

import faulthandler
import os
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, Final, Protocol

import structlog
from mode import Service

from pipeline.core.errors import MasswatchError

LOOKS_EVERY: Final = 1.0
CONVINCED_AFTER: Final = 5
"""Looks in a row: a process that was stopped for a while finds old times when it wakes up."""

STUCK: Final = 1
"""The exit code of a process that had to be ended hard."""

_log = structlog.get_logger()


class Stuck(MasswatchError):
    """Something stands still that should move; the text says what."""


class Watched(Protocol):
    """Something whose progress can be judged."""

    def stuck(self, limit: timedelta) -> Sequence[str]:
        """Say what has stood still for longer than the limit."""
        ...


class Watchdog(Service):
    """Looks at everything once a second, and crashes when the same look fails again and again.

    Args:
        watched: What to look at, asked anew each time.
        limit: How long something may stand still.
        beat: Called at each look, as a sign that the event loop turns.
    """

    mundane_level = "debug"

    def __init__(
        self,
        watched: Callable[[], Iterable[Watched]],
        limit: timedelta,
        *,
        beat: Callable[[], None],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._beat = beat
        self._watched = watched
        self._limit = limit
        self._bad_looks = 0
        self.found: tuple[str, ...] = ()

    @Service.task
    async def _watch(self) -> None:
        while not self.should_stop:
            await self.sleep(LOOKS_EVERY)
            self._beat()
            self.look()

    def look(self) -> None:
        """Look at everything once.

        Raises:
            Stuck: this was the last of several bad looks in a row.
        """
        self.found = tuple(fault for one in self._watched() for fault in one.stuck(self._limit))
        self._bad_looks = self._bad_looks + 1 if self.found else 0
        if self._bad_looks >= CONVINCED_AFTER:
            _log.error("worker.stuck", found=list(self.found))
            raise Stuck(
                "; ".join(self.found) + ": see the log of the broker, start the worker again"
            )


class LoopWatch:
    """A thread that ends the process when the event loop does not turn any more.

    Args:
        limit: How long one turn may take.
        end: What to end the process with.
    """

    def __init__(self, limit: timedelta, end: Callable[[str], None]) -> None:
        self._looks = max(2, round(limit.total_seconds() / LOOKS_EVERY))
        self._end = end
        self._beats = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="loop-watch", daemon=True)
        self._thread.start()

    def beat(self) -> None:
        """Say that the loop turns."""
        self._beats += 1

    def close(self) -> None:
        """Watch no longer."""
        self._closed.set()

    def _watch(self) -> None:
        seen, missed = self._beats, 0
        while not self._closed.wait(LOOKS_EVERY):
            missed = missed + 1 if self._beats == seen else 0
            seen = self._beats
            if missed >= self._looks:
                self._end("the event loop does not turn")


def end_hard(why: str) -> None:
    """End the process at once, whatever it waits for; say where it stood."""
    sys.stderr.write(f"worker: {why}: ended hard\n")
    faulthandler.dump_traceback(all_threads=True)
    sys.stderr.flush()
    os._exit(STUCK)


def end_hard_after(span: timedelta, why: str) -> threading.Timer:
    """Let the process end hard unless it has ended by then."""
    timer = threading.Timer(span.total_seconds(), end_hard, (why,))
    timer.daemon = True
    timer.start()
    return timer
