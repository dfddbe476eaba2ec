"""What a process has used up, figures over several runs, and the machine they come from."""

import json
import os
import platform
import resource
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

_HAYSTACK = bytes(range(256)) * (1 << 16)
_NEEDLES = (b"MobileAppAssignment", b"RiskLevel", b"ActionType")
_DOCUMENT = json.dumps({"records": [{"name": "x" * 100, "at": number} for number in range(10)]})
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over several runs."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Sum up the values of several runs."""
        return cls(statistics.median(values), min(values), max(values))

    def shown(self, form: str) -> str:
        """Write the median and, if there is more than one value, the range, all in the form."""
        if self.lowest == self.highest:
            return f"{self.median:{form}}"
        low, high = format(self.lowest, form), format(self.highest, form)
        return f"{self.median:{form}} ({low} to {high})"


def cpu_of(pid: int) -> float:
    """Return the seconds of CPU, user and system, of a process and all of its threads; proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def memory_of(pid: int) -> tuple[float, float]:
    """Return the MiB of a process that are resident now, and were at most."""
    status = Path(f"/proc/{pid}/status").read_text()
    now, most = (int(status.partition(f"{name}:")[2].split()[0]) for name in ("VmRSS", "VmHWM"))
    return now / 1024, most / 1024


def yardstick() -> float:
    """Return the milliseconds of CPU that a fixed piece of work takes just now.

    Where others share the cores and their caches, the same work takes up to twice the CPU, so two
    runs can be compared only by what this took in each.
    """
    began = own_cpu()
    found = sum(_HAYSTACK.count(needle) for needle in _NEEDLES)
    for _ in range(2_000):
        found += len(json.loads(_DOCUMENT)["records"])
    assert found == 2_000 * 10
    return (own_cpu() - began) * 1000


def own_cpu() -> float:
    """Return the seconds of CPU, user and system, of this process and all of its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which that share of the ordered values lies."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def machine() -> dict[str, str]:
    """Say where and when this runs."""
    return {
        "cpu": f"{os.cpu_count()} x {_cpu_model()}",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "commit": _commit(),
        "load": f"{os.getloadavg()[0]:.1f} before the start",
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _commit() -> str:
    here = Path(__file__).parent
    asked = ("git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12")
    said = subprocess.run(asked, capture_output=True, text=True, check=False)
    return said.stdout.strip() or "none"
