"""What a peer, which is a process of its own, hands over to the benchmark: one line of JSON."""

import json
import sys
from dataclasses import asdict, dataclass
from typing import Final

WARM_UP: Final = 2000
"""Records before the measuring of a slow peer: its buffers are full at its start as at its end."""


@dataclass(frozen=True, slots=True)
class Used:
    """Seconds of CPU and of time that had gone by at a moment."""

    cpu: float
    time: float


@dataclass(frozen=True, slots=True)
class Result:
    """What reading so many records took; hits are those of them that were decoded."""

    cpu_seconds: float
    seconds: float
    records: int
    hits: int

    @property
    def cpu_micros(self) -> float:
        """Microseconds of CPU per record."""
        return self.cpu_seconds / self.records * 1e6

    @property
    def per_second(self) -> float:
        """Records per second of time."""
        return self.records / self.seconds


def hand_over(began: Used, ended: Used, *, records: int, hits: int) -> None:
    """Print the result of this process."""
    result = Result(ended.cpu - began.cpu, ended.time - began.time, records, hits)
    sys.stdout.write(json.dumps(asdict(result)) + "\n")
    sys.stdout.flush()


def taken_over(output: str) -> Result:
    """Read the result that a peer has printed last."""
    return Result(**json.loads(output.splitlines()[-1]))
