import json
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest
from builders import (
    MONDAY,
    a_risk,
    activity_properties,
    activity_record,
    an_assignment,
    audit_record,
    hunting_record,
    identity_row,
    shifted,
)
from stages import Counts, always, ready_times, run
from structlog.testing import capture_logs

from pipeline.adapters.memory_alerts import MemoryDeadLetters, MemoryRequests
from pipeline.adapters.memory_facts import MemoryFacts
from pipeline.core.errors import StoreUnavailable
from pipeline.core.evidence import Matching
from pipeline.core.model import AssignmentId, Fact, Position, Seen
from pipeline.core.window import Window, Windows
from pipeline.ports import Candidate, DeadLetter, FactStore
from pipeline.sources.decode import Decoder
from pipeline.stages.observe import Observe, kind_of

WINDOWS = Windows()
BROKEN = b'{"records":[{"operationName":"Create MobileAppAssignment"'


class Stage:
    """The stage over memory, with what it was given at hand."""

    def __init__(
        self, facts: FactStore | None = None, speaks: Callable[[], float] = time.monotonic
    ) -> None:
        self.facts = facts or MemoryFacts(WINDOWS)
        self.requests = MemoryRequests()
        self.letters = MemoryDeadLetters()
        self.counts = Counts()
        self.observe = Observe(
            facts=self.facts,
            requests=self.requests,
            letters=self.letters,
            decode=Decoder(),
            windows=WINDOWS,
            counts=self.counts,
            speaks=speaks,
        )


class MemoryFactsDownOnce(MemoryFacts):
    """A store that is away when it is first written to."""

    is_down = True

    async def add(self, facts: Sequence[Seen[Fact]]) -> None:
        if self.is_down:
            self.is_down = False
            raise StoreUnavailable("memory: away: wait")
        await super().add(facts)


def candidate(value: bytes, offset: int = 7, appended_ms: int = 0) -> Candidate:
    return Candidate(Position("intune.audit.v1", 3, offset), value, timestamp_ms=appended_ms)


def envelope(*records: object) -> bytes:
    return json.dumps({"records": records}).encode()


ASSIGNMENT = envelope(audit_record())


def test_an_assignment_is_kept_where_it_lies_and_asked_for() -> None:
    stage = Stage()

    is_done = run(stage.observe([candidate(ASSIGNMENT)], always))

    (asked,) = stage.requests.sent
    (dossier,) = run(stage.facts.dossiers([asked]))
    assert is_done
    assert [seen.position for seen in dossier.variants] == [Position("intune.audit.v1", 3, 7, 0)]
    assert stage.counts.seen == {"handled assignment": 1}


def test_every_record_of_a_batch_has_one_end() -> None:
    stage = Stage()
    other = audit_record(operationName="Delete MobileAppAssignment")

    run(stage.observe([candidate(envelope(audit_record(), other, 42)), candidate(BROKEN)], always))

    assert stage.counts.seen == {
        "handled assignment": 1,
        "ignored other_operation": 1,
        "dead-lettered": 2,
    }


def test_a_dead_letter_carries_the_whole_value_and_the_index() -> None:
    stage = Stage()
    value = envelope(audit_record(), 42)

    run(stage.observe([candidate(value), candidate(BROKEN, 8)], always))

    assert stage.letters.letters == [
        DeadLetter(candidate(value), "not an object", 1),
        DeadLetter(candidate(BROKEN, 8), "not JSON", None),
    ]


def test_a_value_of_very_many_bad_records_is_one_letter_and_all_of_them_count() -> None:
    stage = Stage()
    value = b"[" + b"1," * 300_000 + b"1]"

    run(stage.observe([candidate(value)], always))

    (letter,) = stage.letters.letters
    assert (letter.index, letter.records) == (None, 300_001)
    assert letter.reason == "300001 records, the first of them #0: not an object"
    assert stage.counts.seen == {"dead-lettered": 300_001}


@pytest.mark.parametrize(
    ("records", "blanks"), [(16, 1_000_000), (400, 1)], ids=["few in a large one", "many small"]
)
def test_so_many_bad_records_have_a_letter_each(records: int, blanks: int) -> None:
    stage = Stage()
    value = b"[" + b"1," * (records - 1) + b"1" + b" " * blanks + b"]"

    run(stage.observe([candidate(value)], always))

    assert [letter.index for letter in stage.letters.letters] == list(range(records))


@pytest.mark.parametrize(("effects", "asked", "letters"), [(0, 0, 0), (1, 0, 0), (2, 1, 0)])
def test_a_batch_that_is_not_ours_any_more_has_no_further_effect(
    effects: int, asked: int, letters: int
) -> None:
    stage = Stage()

    is_done = run(stage.observe([candidate(ASSIGNMENT), candidate(BROKEN)], ready_times(effects)))

    assert not is_done
    assert len(stage.requests.sent) == asked
    assert len(stage.letters.letters) == letters
    assert not stage.counts.seen


def test_nothing_is_asked_for_or_counted_while_the_store_is_away_and_all_of_it_afterwards() -> None:
    stage = Stage(MemoryFactsDownOnce(WINDOWS))

    with pytest.raises(StoreUnavailable):
        run(stage.observe([candidate(ASSIGNMENT), candidate(BROKEN)], always))
    before = (list(stage.requests.sent), list(stage.letters.letters), dict(stage.counts.seen))
    run(stage.observe([candidate(ASSIGNMENT), candidate(BROKEN)], always))

    assert before == ([], [], {})
    assert len(stage.requests.sent) == len(stage.letters.letters) == 1


def test_evidence_asks_for_the_assignments_that_it_touches_each_once() -> None:
    stage = Stage()
    known = [an_assignment(event_id=one) for one in ("one", "two")]
    run(stage.facts.add([Seen(one, Position("t", 0, 0, 0)) for one in known]))
    risk = {
        "Timestamp": "2026-03-02T08:00:00Z",
        "TenantId": known[0].tenant_id,
        "Type": "User",
        "RiskLevel": "High",
        "AccountUpn": known[0].identity,
        "AccountObjectId": known[0].actor.object_id,
    }

    run(stage.observe([candidate(envelope(risk, risk))], always))

    assert stage.requests.sent == [
        AssignmentId(known[0].tenant_id, "one"),
        AssignmentId(known[0].tenant_id, "two"),
    ]


@pytest.mark.parametrize(
    ("behind", "counted"), [(WINDOWS.lateness, 0), (WINDOWS.lateness + timedelta(seconds=1), 1)]
)
def test_a_record_appended_more_than_the_lateness_after_its_event_time_is_too_late(
    behind: timedelta, counted: int
) -> None:
    stage = Stage()
    appended_ms = MONDAY // 10_000 + behind // timedelta(milliseconds=1)

    run(stage.observe([candidate(ASSIGNMENT, appended_ms=appended_ms)], always))

    assert stage.counts.seen["too late assignment"] == counted
    assert stage.counts.seen["handled assignment"] == 1


def test_a_record_that_came_late_is_logged_with_its_position_and_how_late() -> None:
    stage = Stage()
    late, later = (
        MONDAY // 10_000 + (WINDOWS.lateness + timedelta(hours=hours)) // timedelta(milliseconds=1)
        for hours in (1, 2)
    )

    with capture_logs() as logs:
        batch = [candidate(ASSIGNMENT, 7, late), candidate(ASSIGNMENT, 8, later)]
        run(stage.observe(batch, always))

    (line,) = [one for one in logs if one["event"] == "record.came_late"]
    assert line["position"] == "intune.audit.v1[3]@8#0"
    assert (line["kind"], line["records"]) == ("assignment", 2)
    assert line["seconds"] == (WINDOWS.lateness + timedelta(hours=2)).total_seconds()


def test_a_history_that_comes_late_is_not_a_line_a_batch() -> None:
    stage = Stage()
    late = MONDAY // 10_000 + 2 * WINDOWS.lateness // timedelta(milliseconds=1)

    with capture_logs() as logs:
        for offset in range(50):
            run(stage.observe([candidate(ASSIGNMENT, offset, late)], always))

    assert [one["event"] for one in logs] == ["record.came_late"]
    assert stage.counts.seen["too late assignment"] == 50


def test_the_rest_of_a_history_that_comes_late_is_told_though_nothing_follows() -> None:
    seconds = 0.0
    stage = Stage(speaks=lambda: seconds)
    late = MONDAY // 10_000 + 2 * WINDOWS.lateness // timedelta(milliseconds=1)
    for offset in range(50):
        run(stage.observe([candidate(ASSIGNMENT, offset, late)], always))

    seconds = 10.0
    with capture_logs() as logs:
        stage.observe.tell_rest()

    assert [(one["event"], one["records"]) for one in logs] == [("record.came_late", 49)]
    assert logs[0]["position"] == "intune.audit.v1[3]@1#0"


def test_a_workspace_that_nobody_has_mapped_is_counted() -> None:
    stage = Stage()
    row = {
        "TenantId": "workspace",
        "TimeGenerated": "2026-03-02T08:00:00Z",
        "OperationName": "Create MobileAppAssignment",
        "ResultType": "Success",
        "Identity": "dana@example.org",
        "Properties": json.dumps(audit_record()["properties"]),
    }

    run(stage.observe([candidate(envelope(row))], always))

    assert stage.counts.seen["unmapped workspace"] == 1


def test_the_kinds_of_facts_have_the_names_that_sources_use() -> None:
    assert (kind_of(an_assignment()), kind_of(a_risk())) == ("assignment", "risk")


def test_after_a_change_of_policy_records_are_decoded_by_the_new_one() -> None:
    stage = Stage()
    call = candidate(
        envelope(activity_record(properties=activity_properties(requestUri="/users"))),
        appended_ms=MONDAY // 10_000 + 86_400_000,
    )
    run(stage.observe([call], always))

    stage.observe.follow(
        stage.facts, Decoder(Matching.FAITHFUL), Windows(lateness=timedelta(hours=1))
    )
    run(stage.observe([call], always))

    assert stage.counts.seen == {
        "ignored other_request": 1,
        "handled graph": 1,
        "too late graph": 1,
    }


class FactsWhilePolicyChanges(MemoryFacts):
    """Facts with narrow windows; wide ones are put in force while a fact is being written."""

    observe: Observe
    wide: MemoryFacts

    async def add(self, facts: Sequence[Seen[Fact]]) -> None:
        self.observe.follow(self.wide, Decoder(), WINDOWS)
        await super().add(facts)
        await self.wide.add(facts)


def test_a_fact_in_hand_when_the_windows_widen_asks_for_what_it_touches_by_the_new_ones() -> None:
    facts = FactsWhilePolicyChanges(Windows(evidence=Window(timedelta(), timedelta())))
    facts.wide = MemoryFacts(WINDOWS)
    known = an_assignment(at=shifted(MONDAY, timedelta(days=3)))
    run(facts.wide.add([Seen(known, Position("t", 0, 0, 0))]))
    stage = Stage(facts)
    facts.observe = stage.observe

    run(
        stage.observe([candidate(envelope(hunting_record("IdentityInfo", identity_row())))], always)
    )

    assert stage.requests.sent == [known.id]
