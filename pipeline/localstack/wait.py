"""Waiting for a condition, with a bound."""

import time
from collections.abc import Callable


def until(condition: Callable[[], bool], *, within: float, every: float = 0.05) -> bool:
    """Ask until the condition holds; return whether it did within so many seconds."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every)
    return True
