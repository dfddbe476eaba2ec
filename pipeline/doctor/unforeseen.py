"""What ends a look or a check unforeseen, as a finding of its own: all others still count."""

import asyncio
import traceback
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pipeline.doctor.finding import Area, Finding, Level

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Unforeseen:
    """An error that nobody has thought of."""

    error: Exception

    def finding(self, area: Area) -> Finding:
        """Say what it was, and where; its text stays untold, as it may quote a secret."""
        *_, last = traceback.extract_tb(self.error.__traceback__)
        place = f"{Path(last.filename).name}:{last.lineno}"
        return Finding(
            Level.FAULT,
            area,
            "doctor itself",
            f"{type(self.error).__name__} at {place}: this was not examined to its end",
            "report it to whoever maintains masswatch; all other findings hold",
        )


async def outcome(look: Awaitable[_Answer]) -> _Answer | Unforeseen:
    """Return what a look comes to, or the error that has ended it."""
    [ended] = await asyncio.gather(look, return_exceptions=True)
    if isinstance(ended, Exception):
        return Unforeseen(ended)
    if isinstance(ended, BaseException):
        raise ended
    return ended


async def judged(area: Area, check: Iterable[Finding]) -> list[Finding]:
    """Return what a check finds, and the error that has ended it."""
    findings: list[Finding] = []
    ended = await outcome(_into(findings, check))
    if isinstance(ended, Unforeseen):
        findings.append(ended.finding(area))
    return findings


async def _into(findings: list[Finding], check: Iterable[Finding]) -> None:
    findings.extend(check)
