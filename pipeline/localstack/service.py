"""What the stack has to know of a server to start it, ask it and stop it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Say = Callable[[str], None]
"""Where lines of progress go."""


@dataclass(frozen=True, slots=True)
class Service:
    """A server of the stack; its folder holds its data, its settings and its log.

    `prepare` takes the ports, writes what the server needs to start, and returns its command;
    `answers` asks the server at the first of its ports. Times in seconds.
    """

    name: str
    folder: Path
    port_count: int
    prepare: Callable[[tuple[int, ...]], list[str]]
    answers: Callable[[int], bool]
    starts_within: float
    stops_within: float

    @property
    def log(self) -> Path:
        """Where everything that the server writes goes."""
        return self.folder / f"{self.name}.log"
