import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from pipeline.worker import watchdog
from pipeline.worker.watchdog import CONVINCED_AFTER, LoopWatch, Stuck, Watchdog

LIMIT = timedelta(seconds=30)


@dataclass
class AReading:
    faults: list[str] = field(default_factory=list)

    def stuck(self, _: timedelta) -> Sequence[str]:
        return self.faults


def a_watchdog(*watched: AReading) -> Watchdog:
    return Watchdog(lambda: watched, LIMIT, beat=lambda: None)


def test_what_stands_still_look_after_look_ends_the_worker() -> None:
    dog = a_watchdog(AReading(), AReading(["intune.audit.v1[3]@17: unread for 31 s"]))
    for _ in range(CONVINCED_AFTER - 1):
        dog.look()

    with pytest.raises(Stuck, match=r"intune\.audit\.v1\[3\]@17: unread for 31 s"):
        dog.look()


def test_a_process_that_wakes_up_may_find_old_times_once() -> None:
    reading = AReading(["unread for 60 s"])
    dog = a_watchdog(reading)
    for _ in range(CONVINCED_AFTER - 1):
        dog.look()

    reading.faults = []
    dog.look()
    reading.faults = ["unread for 60 s"]
    dog.look()

    assert dog.found == ("unread for 60 s",)


def test_an_event_loop_that_does_not_turn_ends_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watchdog, "LOOKS_EVERY", 0.01)
    ended = threading.Event()

    watch = LoopWatch(timedelta(seconds=0.05), lambda _: ended.set())

    assert ended.wait(5)
    watch.close()


def test_an_event_loop_that_turns_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "LOOKS_EVERY", 0.05)
    ended = threading.Event()

    watch = LoopWatch(timedelta(seconds=0.3), lambda _: ended.set())
    for _ in range(50):
        watch.beat()
        ended.wait(0.02)

    assert not ended.is_set()
    watch.close()
