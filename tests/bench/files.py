"""A backtest of JSON Lines against DuckDB with the same question, and the memory of a large one."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from pipeline.core.errors import MasswatchError
from pipeline.core.event_time import EventTime
from pipeline.simulate.defender_records import IdentityRow, Shape, account_of, identity_record
from pipeline.simulate.dice import dice
from pipeline.simulate.moments import MINUTE, later
from pipeline.simulate.tenants import draw_person

from .records import Traffic, bench_tenant, mass_assignment
from .result import Result, taken_over

BACKTEST: Final = "masswatch backtest, one process"
DUCKDB: Final = "DuckDB, one thread"
DUCKDB_FILTERED: Final = "DuckDB, one thread, a filter of two words before its parser"
WAYS: Final = {BACKTEST: "backtest", DUCKDB: "duckdb", DUCKDB_FILTERED: "duckdb-filtered"}
_SECONDS_AT_MOST: Final = 1800.0
_LINES_AT_ONCE: Final = 1_000
_FACTS_IN_THEM: Final = 3
_ADMIN_AT_RISK_EVERY: Final = 5_000


@dataclass(frozen=True, slots=True)
class Judged:
    """What judging a file took, and the most memory of all processes together."""

    result: Result
    peak_mib: float


def write(path: Path, traffic: Traffic, count: int, start: EventTime) -> None:
    """Write so many records: ordinary ones, and facts every one of which differs."""
    facts = _facts(start)
    plain = cycle(traffic.plain)
    with path.open("wb") as file:
        for _ in range(count // _LINES_AT_ONCE):
            lines = [
                *islice(facts, _FACTS_IN_THEM),
                *islice(plain, _LINES_AT_ONCE - _FACTS_IN_THEM),
            ]
            file.write(b"\n".join(lines) + b"\n")


def _facts(start: EventTime) -> Iterator[bytes]:
    """Yield two rows of risk and an assignment, again and again, some of the same actor."""
    chance, number, tenant = dice("files"), 0, bench_tenant()
    while True:
        number += 1
        moment = later(start, number * MINUTE)
        is_admin = number % _ADMIN_AT_RISK_EVERY == 1
        who = tenant.admins[0] if is_admin else draw_person(chance, tenant.domain)
        for level in ("High", "Medium"):
            row = IdentityRow(tenant.id, moment, account_of(who), level)
            yield identity_record(row, Shape.STREAMED, chance)
        yield mass_assignment(f"event-{number:09}", moment)


def rounds(path: Path, count: int, repeats: int) -> Iterator[Mapping[str, Result]]:
    """Yield so many rounds; in each, all ways judge the file, one after the other.

    Raises:
        MasswatchError: they do not find the same.
    """
    for _ in range(repeats):
        results, answers = {}, []
        for name, way in WAYS.items():
            answer = path.with_suffix(f".{way}")
            results[name] = replace(_run(way, path, 1, answer).result, records=count)
            answers.append(json.loads(answer.read_text()))
        if any(one != answers[0] for one in answers):
            raise MasswatchError(f"{path}: not all ways found the same")
        if not answers[0]:
            raise MasswatchError(f"{path}: nothing was found")
        yield results


def judged(path: Path, processes: int) -> Judged:
    """Judge a file with the backtest."""
    return _run("backtest", path, processes, path.with_suffix(".backtest"))


def _run(way: str, path: Path, side_by_side: int, answer: Path) -> Judged:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.bench.peer_file", way, path, str(side_by_side), answer],
        capture_output=True,
        text=True,
        timeout=_SECONDS_AT_MOST,
        check=False,
    )
    if ran.returncode:
        raise MasswatchError(f"{way}: exit code {ran.returncode}: {ran.stderr[-2000:]}")
    peak = json.loads(ran.stderr.splitlines()[-1])["peak_kib"] / 1024
    return Judged(taken_over(ran.stdout), peak)
