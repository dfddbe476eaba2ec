import json

import pytest

from pipeline.adapters.not_reached import NotReached, taken_apart
from pipeline.cli.doctor import tell
from pipeline.cli.output import Output
from pipeline.core.errors import BrokerRefuses, ConfigError, StoreUnavailable
from pipeline.doctor.finding import Area, Cause, Finding, Level, away, ok, ordered, verdict
from pipeline.doctor.words import counted as number_of
from pipeline.doctor.words import listed, mebibytes, since, span

ALL_WELL = (ok(Area.REDIS, "redis", "is there"),)


def a(level: Level, area: Area = Area.LAG, cause: Cause = Cause.STATE) -> Finding:
    return Finding(level, area, "where", "what", "what to do", cause)


def test_the_gravest_finding_comes_first() -> None:
    levels = [Level.OK, Level.NOTE, Level.NOT_CHECKED, Level.WARNING, Level.FAULT]

    found = ordered(a(level) for level in levels)

    assert [one.level for one in found] == levels[::-1]


def test_the_verdict_counts_what_is_wrong_and_not_what_is_right() -> None:
    found = [a(Level.FAULT), a(Level.FAULT), a(Level.WARNING), *ALL_WELL]

    assert verdict(found) == "2 faults, 1 warning"


def test_the_verdict_on_notes_alone_is_that_all_is_well_and_what_was_not_checked() -> None:
    found = [*ALL_WELL, a(Level.NOTE), a(Level.NOT_CHECKED)]

    assert verdict(found) == "all well: 1 check right, 1 not checked, 1 note"


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        (ALL_WELL, 0),
        ((a(Level.WARNING), a(Level.NOT_CHECKED)), 0),
        ((a(Level.FAULT),), 1),
        ((a(Level.FAULT), a(Level.FAULT, cause=Cause.AWAY)), 4),
        ((a(Level.FAULT, cause=Cause.AWAY), a(Level.FAULT, cause=Cause.SETTINGS)), 3),
    ],
)
def test_the_exit_code_is_that_of_the_fault_to_be_mended_first(
    findings: tuple[Finding, ...], code: int
) -> None:
    assert tell(findings, Output.TABLE, strict=False) == code


def test_strict_takes_warnings_for_faults_and_notes_for_none() -> None:
    doubtful = (a(Level.NOTE), a(Level.NOT_CHECKED))

    assert tell((a(Level.WARNING),), Output.TABLE, strict=True) == 1
    assert tell(doubtful, Output.TABLE, strict=True) == 0


def test_a_table_begins_with_the_verdict_and_json_has_all_of_a_finding(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tell((a(Level.FAULT),), Output.TABLE, strict=False)
    table, _ = capsys.readouterr()
    tell((a(Level.FAULT),), Output.JSON, strict=False)
    document, _ = capsys.readouterr()

    assert table.splitlines()[0] == "1 fault"
    assert json.loads(document) == {
        "verdict": "1 fault",
        "exit_code": 1,
        "counts": {"fault": 1, "warning": 0, "not checked": 0, "note": 0, "ok": 0},
        "findings": [
            {
                "level": "fault",
                "area": "lag",
                "where": "where",
                "what": "what",
                "remedy": "what to do",
            }
        ],
    }


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (StoreUnavailable("redis a:1: is away: start it"), Cause.AWAY),
        (BrokerRefuses("redis a:1: is away: start it"), Cause.SETTINGS),
        (ConfigError("redis a:1: is away: start it"), Cause.SETTINGS),
    ],
)
def test_an_error_is_taken_apart_into_where_what_and_what_to_do(
    error: StoreUnavailable, cause: Cause
) -> None:
    found = away(Area.REDIS, NotReached.of(error))

    assert found == Finding(Level.FAULT, Area.REDIS, "redis a:1", "is away", "start it", cause)


def test_an_error_may_have_colons_in_what_it_tells_and_nothing_to_do() -> None:
    assert taken_apart("a:1: refused (b: c): start it") == ("a:1", "refused (b: c)", "start it")
    assert taken_apart("a:1: refused") == ("a:1", "refused", "")


def test_times_sizes_and_lists_are_written_for_people() -> None:
    assert span(since(0, 7_300_000)) == "2 h"
    assert span(since(0, 119_000)) == "119 s"
    assert span(since(0, 40)) == "40 ms"
    assert span(since(5, 4)) == "0 ms"
    assert span(since(0, 172_800_000)) == "2 days"
    assert listed("abcde") == "a, b, c and 2 more"
    assert number_of(1, "entry", "entries") == "1 entry"
    assert number_of(2000, "entry", "entries") == "2,000 entries"
    assert mebibytes(3 * 1024 * 1024) == "3.0 MiB"
