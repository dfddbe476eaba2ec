from collections.abc import Sequence
from datetime import timedelta
from itertools import count

import pytest
from builders import DANA, MONDAY, a_behavior, a_risk, an_assignment, shifted
from stages import Counts, always, ready_times, run

from pipeline.adapters.memory_alerts import MemoryAlerts, MemoryAlertsTopic
from pipeline.adapters.memory_facts import MemoryFacts
from pipeline.core.errors import LostOwnership
from pipeline.core.event_time import EventTime, format_event_time, ticks
from pipeline.core.model import AssignmentId, Fact, Position, Seen
from pipeline.core.policy import Policy, Reason, TenantPolicy
from pipeline.core.window import Window, Windows
from pipeline.ports import Dossier, Published, Reach, Reaches, Revision, Status
from pipeline.stages.evaluate import Evaluate
from topics.alert import Alert

WINDOWS = Windows()
POLICY = "masswatch-policy"
OFF = Policy(everywhere=TenantPolicy(disabled=frozenset(Reason)))


class Stage:
    """The stage over memory, with facts that can be added and a topic that can be read."""

    def __init__(self) -> None:
        self.facts = MemoryFacts(WINDOWS)
        self.topic = MemoryAlertsTopic()
        self.log = self.topic.open()
        self.counts = Counts()
        self._offsets = count()

    def knows(self, *facts: Fact) -> None:
        seen = [Seen(one, Position("t", 0, next(self._offsets), 0)) for one in facts]
        run(self.facts.add(seen))

    def forgets(self) -> None:
        self.facts = MemoryFacts(WINDOWS)

    def evaluates(self, *ids: AssignmentId, policy: Policy | None = None) -> bool:
        stage = self.stage(policy or Policy())
        return run(stage(ids, self.log, always))

    def stage(self, policy: Policy) -> Evaluate:
        return Evaluate(facts=self.facts, policy=policy, clock=lambda: MONDAY, counts=self.counts)

    def alerts(self) -> list[Alert]:
        return [Alert.model_validate_json(one.value) for one in self.topic.records[0]]


DELEGATED = an_assignment(delegated=True)
QUIET = an_assignment()


def last_of(log: MemoryAlerts, topic: MemoryAlertsTopic) -> Published:
    (alert,) = {Alert.model_validate_json(one.value).alert_id for one in topic.records[0]}
    published = log.last(alert)
    assert published is not None
    return published


def test_a_verdict_is_published_once_however_often_it_is_asked_for() -> None:
    stage = Stage()
    stage.knows(DELEGATED)

    stage.evaluates(DELEGATED.id, DELEGATED.id)
    stage.evaluates(DELEGATED.id)

    (alert,) = stage.alerts()
    assert (alert.revision, alert.status, alert.reasons) == (1, "active", ("delegated_admin",))
    assert stage.counts.seen == {"evaluated alert": 2, "published active": 1}


def test_later_evidence_publishes_the_next_revision_under_the_same_id() -> None:
    stage = Stage()
    stage.knows(DELEGATED)
    stage.evaluates(DELEGATED.id)

    stage.knows(a_risk(at=shifted(MONDAY, timedelta(hours=25)), level="High"))
    stage.evaluates(DELEGATED.id)

    first, second = stage.alerts()
    assert first.alert_id == second.alert_id
    assert (second.revision, second.severity) == (2, "medium")
    assert second.reasons == ("user_risk", "delegated_admin")


def test_a_quiet_assignment_publishes_nothing_and_is_counted() -> None:
    stage = Stage()
    stage.knows(QUIET)

    assert stage.evaluates(QUIET.id)

    assert not stage.alerts()
    assert stage.counts.seen == {"evaluated quiet": 1}


def test_an_assignment_that_the_store_does_not_have_is_counted_as_unknown() -> None:
    stage = Stage()

    assert stage.evaluates(QUIET.id)

    assert stage.counts.seen == {"unknown": 1}


def test_an_alert_that_no_longer_holds_is_withdrawn_once_with_its_evidence() -> None:
    stage = Stage()
    risk = a_risk()
    stage.knows(QUIET, risk)
    stage.evaluates(QUIET.id)

    stage.evaluates(QUIET.id, policy=OFF)
    stage.evaluates(QUIET.id, policy=OFF)

    first, second = stage.alerts()
    assert (first.status, second.status, second.revision) == ("active", "withdrawn", 2)
    assert second.reasons == ()
    assert second.evidence == first.evidence
    assert [(one.reason, one.entry) for one in second.withheld] == [("user_risk", "disabled")]


def test_a_withdrawn_alert_that_holds_again_becomes_active() -> None:
    stage = Stage()
    stage.knows(DELEGATED)
    stage.evaluates(DELEGATED.id)
    stage.evaluates(DELEGATED.id, policy=OFF)

    stage.evaluates(DELEGATED.id)

    assert [one.status for one in stage.alerts()] == ["active", "withdrawn", "active"]
    assert last_of(stage.log, stage.topic).status is Status.ACTIVE


def test_evidence_that_the_store_has_forgotten_stays_in_the_alert_with_its_source() -> None:
    stage = Stage()
    stage.knows(QUIET, a_risk(level="High"))
    stage.evaluates(QUIET.id)

    stage.forgets()
    stage.knows(QUIET, a_behavior())
    stage.evaluates(QUIET.id)

    first, second = stage.alerts()
    assert second.reasons == ("user_risk", "risky_behavior")
    assert second.evidence.risk == first.evidence.risk
    (before,) = [one for one in first.sources if one.fact == "risk"]
    assert before in second.sources


def test_sources_name_the_assignment_and_every_piece_of_evidence() -> None:
    stage = Stage()
    stage.knows(QUIET, a_risk(), a_behavior())

    stage.evaluates(QUIET.id)

    (alert,) = stage.alerts()
    assert [(one.fact, one.offset) for one in alert.sources] == [
        ("assignment", 0),
        ("risk", 1),
        ("behavior", 2),
    ]


@pytest.mark.parametrize("effects", [0, 1])
def test_a_batch_that_is_not_ours_any_more_publishes_nothing(effects: int) -> None:
    stage = Stage()
    stage.knows(DELEGATED)

    is_done = run(stage.stage(Policy())([DELEGATED.id], stage.log, ready_times(effects)))

    assert not is_done
    assert not stage.alerts()


def test_many_requests_are_published_in_several_transactions_until_the_batch_is_lost() -> None:
    stage = Stage()
    many = [an_assignment(delegated=True, event_id=f"event-{number:03}") for number in range(50)]
    stage.knows(*many)
    ids = [one.id for one in many]

    # Once before it reads and once before it publishes, then it is lost.
    is_done = run(stage.stage(Policy())(ids, stage.log, ready_times(2)))
    published = len(stage.alerts())
    run(stage.stage(Policy())(ids, stage.log, always))

    assert not is_done
    assert 0 < published < 50
    assert len(stage.alerts()) == 50
    assert {one.revision for one in stage.alerts()} == {1}


class CountedLog:
    """Counts the transactions of a log, and the pieces of evidence in each."""

    def __init__(self, log: MemoryAlerts) -> None:
        self.evidence: list[int] = []
        self._log = log

    def last(self, alert_id: str) -> Published | None:
        return self._log.last(alert_id)

    async def publish(self, revisions: Sequence[Revision]) -> None:
        self.evidence.append(sum(len(one.verdict.risk) for one in revisions))
        await self._log.publish(revisions)


def test_a_flood_is_published_in_few_transactions() -> None:
    stage = Stage()
    many = [an_assignment(delegated=True, event_id=f"event-{number:04}") for number in range(1000)]
    stage.knows(*many)
    log = CountedLog(stage.log)

    run(stage.stage(Policy())([one.id for one in many], log, always))

    assert len(stage.alerts()) == 1000
    assert len(log.evidence) <= 6


def test_assignments_of_much_evidence_are_published_in_many_transactions() -> None:
    stage = Stage()
    light = [an_assignment(delegated=True, event_id=f"light-{number:02}") for number in range(20)]
    heavy = [
        an_assignment(upn="eve@example.org", identity="", event_id=f"heavy-{number:02}")
        for number in range(40)
    ]
    risks = [a_risk(upn="eve@example.org", at=shifted(MONDAY, plus_ticks=n)) for n in range(400)]
    stage.knows(*light, *heavy, *risks)
    log = CountedLog(stage.log)

    run(stage.stage(Policy())([one.id for one in (*light, *heavy)], log, always))

    assert len(stage.alerts()) == 60
    assert max(log.evidence) <= 2_000


def test_an_alert_withdrawn_by_a_narrower_window_keeps_its_evidence_and_can_come_back() -> None:
    stage = Stage()
    stage.knows(QUIET, a_risk(at=shifted(MONDAY, timedelta(days=-10))))
    stage.evaluates(QUIET.id)
    narrow = Policy(windows=Windows(evidence=Window(timedelta(days=1), timedelta(days=1))))

    stage.evaluates(QUIET.id, policy=narrow)
    stage.forgets()
    stage.knows(QUIET)
    stage.evaluates(QUIET.id)

    first, second, third = stage.alerts()
    assert [one.status for one in (first, second, third)] == ["active", "withdrawn", "active"]
    assert first.evidence == second.evidence == third.evidence
    assert first.digest == third.digest


def test_a_fenced_owner_publishes_nothing_and_says_so() -> None:
    stage = Stage()
    stage.knows(DELEGATED)
    stage.topic.open()

    with pytest.raises(LostOwnership):
        stage.evaluates(DELEGATED.id)

    assert not stage.alerts()
    assert not stage.counts.seen


def test_the_next_owner_goes_on_where_the_last_one_ended() -> None:
    stage = Stage()
    stage.knows(DELEGATED)
    stage.evaluates(DELEGATED.id)
    stage.log = stage.topic.open()

    stage.evaluates(DELEGATED.id)
    stage.knows(a_risk(upn=DANA))
    stage.evaluates(DELEGATED.id)

    assert [one.revision for one in stage.alerts()] == [1, 2]


def test_after_a_change_of_policy_what_is_asked_for_again_is_judged_by_the_new_one() -> None:
    stage = Stage()
    stage.knows(DELEGATED)
    evaluate = stage.stage(Policy())
    run(evaluate([DELEGATED.id], stage.log, always))

    evaluate.follow(OFF, stage.facts)
    run(evaluate([DELEGATED.id], stage.log, always))

    assert evaluate.policy == OFF
    assert [one.status for one in stage.alerts()] == ["active", "withdrawn"]
    assert [dict(one.headers)[POLICY] for one in stage.topic.records[0]] == [
        Policy().digest.encode(),
        OFF.digest.encode(),
    ]


class FactsWhilePolicyChanges(MemoryFacts):
    """Facts that are read by narrow windows, while the policy is changed for a wide one."""

    evaluate: Evaluate
    wide: MemoryFacts

    async def dossiers(self, ids: Sequence[AssignmentId]) -> list[Dossier]:
        self.evaluate.follow(Policy(), self.wide)
        return await super().dossiers(ids)


def test_what_is_in_hand_when_the_policy_changes_is_judged_by_the_former_one() -> None:
    stage = Stage()
    narrow = Policy(windows=Windows(evidence=Window(timedelta(days=1), timedelta(days=1))))
    facts = FactsWhilePolicyChanges(narrow.windows)
    stage.knows(DELEGATED, a_risk(at=shifted(MONDAY, timedelta(days=-10))))
    facts.wide, stage.facts = stage.facts, facts
    stage.knows(DELEGATED, a_risk(at=shifted(MONDAY, timedelta(days=-10))))
    facts.evaluate = stage.stage(narrow)

    run(facts.evaluate([DELEGATED.id], stage.log, always))
    run(facts.evaluate([DELEGATED.id], stage.log, always))

    assert [one.reasons for one in stage.alerts()] == [
        ("delegated_admin",),
        ("user_risk", "delegated_admin"),
    ]
    assert dict(stage.topic.records[0][0].headers)[POLICY] == narrow.digest.encode()


def test_an_alert_says_how_fresh_its_evidence_could_be() -> None:
    stage = Stage()
    stage.knows(DELEGATED, a_risk(at=MONDAY, upn="eve@example.org"))
    judging = stage.stage(Policy())
    judging.watch(lambda: Reaches(identity_info=Reach(MONDAY, shifted(MONDAY, plus_ticks=1))))

    run(judging([DELEGATED.id], stage.log, always))

    (alert,) = stage.alerts()
    of_risk, of_behaviors = alert.freshness.identity_info, alert.freshness.behavior_entities
    assert of_risk.last_record_at == of_risk.latest_fact_time == format_event_time(MONDAY)
    assert of_risk.read_to == format_event_time(shifted(MONDAY, plus_ticks=1))
    assert set(of_behaviors.model_dump().values()) == {None}


def test_fresher_sources_alone_are_no_reason_for_a_revision() -> None:
    stage = Stage()
    stage.knows(DELEGATED)
    stage.evaluates(DELEGATED.id)

    stage.knows(a_risk(at=MONDAY, upn="eve@example.org"))
    judging = stage.stage(Policy())
    judging.watch(lambda: Reaches(identity_info=Reach(MONDAY, MONDAY)))
    run(judging([DELEGATED.id], stage.log, always))

    assert [one.revision for one in stage.alerts()] == [1]


def test_an_alert_claims_no_more_than_had_been_read_before_its_facts_were() -> None:
    stage = Stage()
    stage.knows(DELEGATED)
    reached = [EventTime(MONDAY)]

    class GrowingMeanwhile(MemoryFacts):
        async def dossiers(self, ids: Sequence[AssignmentId]) -> list[Dossier]:
            found = await stage.facts.dossiers(ids)
            reached[0] = shifted(MONDAY, plus_ticks=1)
            return found

    judging = stage.stage(Policy())
    judging.follow(Policy(), GrowingMeanwhile(WINDOWS))
    judging.watch(lambda: Reaches(identity_info=Reach(None, reached[0])))

    run(judging([DELEGATED.id], stage.log, always))

    (alert,) = stage.alerts()
    assert alert.freshness.identity_info.read_to == format_event_time(MONDAY)


@pytest.mark.parametrize(("plus_ticks", "is_told"), [(0, True), (1, False)])
def test_a_row_of_the_future_does_not_tell_that_a_tenant_is_heard(
    plus_ticks: int, is_told: bool
) -> None:
    stage = Stage()
    at = shifted(MONDAY, plus_ticks=ticks(timedelta(minutes=1)) + plus_ticks)
    stage.knows(DELEGATED, a_risk(at=at, upn="eve@example.org"))

    stage.evaluates(DELEGATED.id)

    (alert,) = stage.alerts()
    assert (alert.freshness.identity_info.latest_fact_time is not None) == is_told
