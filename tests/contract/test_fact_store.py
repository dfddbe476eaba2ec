"""What `FactStore` promises, asked of Redis, placed or not, and of its twin in memory."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from itertools import permutations

import pytest

from pipeline.adapters.memory_facts import MemoryFacts
from pipeline.adapters.placed_facts import PlacedFacts
from pipeline.adapters.redis_client import connect
from pipeline.adapters.redis_facts import RedisFacts
from pipeline.adapters.redis_placement import Placement
from pipeline.core.event_time import EventTime, parse_event_time, ticks
from pipeline.core.evidence import keys_of
from pipeline.core.model import (
    Actor,
    Assignment,
    AssignmentId,
    Behavior,
    Evidence,
    Fact,
    GraphRequest,
    Position,
    Risk,
    Seen,
)
from pipeline.core.window import Windows
from pipeline.ports import Dossier, FactStore, Latest

WINDOWS = Windows()
CONTOSO = "0f4ad6e2-7c1b-4a3e-9f55-2b8d1c6e9a10"
FABRIKAM = "1b6c7d9e-2f3a-4b5c-8d7e-9a0b1c2d3e4f"
OBJECT_ID = "7d1f2c3b-4a59-4687-9b0c-d1e2f3a4b5c6"
UPN = "Dana.Admin@contoso.example"
REQUEST_ID = "B2C3D4E5-F6A7-4b89-90AB-cdef01234567"
HOSTILE = (
    "",
    "a",
    "a/i",
    "a/i/b",
    "/",
    "*",
    "a*",
    "[a]",
    "?",
    "{a}",
    "=a",
    "%61",
    "A",
    "à",
    "a\u0300",
    "a b",
    "a\n",
    "a\0",
    "\ud800",
    "x" * 129,
    "x" * 130,
    "à" * 3_000,
)


def moment(text: str) -> EventTime:
    parsed = parse_event_time(text)
    assert parsed is not None
    return parsed


MONDAY = moment("2026-03-02T09:00:00.1234567Z")


def later(than: EventTime, span: timedelta, more: int = 0) -> EventTime:
    return EventTime(than + ticks(span) + more)


def an_assignment(
    audit_event_id: str = "a3f1",
    *,
    tenant_id: str = CONTOSO,
    at: EventTime = MONDAY,
    identity: str = UPN,
    upn: str = "",
    object_id: str = OBJECT_ID,
    correlation_id: str = REQUEST_ID,
) -> Assignment:
    return Assignment(
        tenant_id=tenant_id,
        audit_event_id=audit_event_id,
        event_time=at,
        operation="Create MobileAppAssignment",
        identity=identity,
        correlation_id=correlation_id,
        target_types=("AllDevicesAssignmentTarget",),
        split_signals=False,
        actor=Actor(upn=upn, object_id=object_id),
    )


def a_risk(
    *,
    tenant_id: str = CONTOSO,
    at: EventTime = MONDAY,
    upn: str = UPN,
    account_upn: str = "",
    object_id: str = "",
) -> Risk:
    return Risk(tenant_id, at, "High", upn, account_upn, object_id)


def a_behavior(
    *, at: EventTime = MONDAY, upn: str = "", account_name: str = "", object_id: str = ""
) -> Behavior:
    action = "ImpossibleTravelActivity"
    return Behavior(CONTOSO, at, "oa" + "7c" * 32, action, upn, account_name, object_id)


def a_graph_request(*, at: EventTime = MONDAY, client_request_id: str = REQUEST_ID) -> GraphRequest:
    uri = "https://graph.microsoft.com/beta/deviceAppManagement/mobileApps"
    return GraphRequest(CONTOSO, at, client_request_id, "r1", "192.0.2.7", "POST", uri, "201")


def seen(fact: Fact, offset: int = 1) -> Seen[Fact]:
    return Seen(fact, Position("intune.audit.v1", 0, offset, None))


class Store:
    """A fact store, asked and answering at once."""

    def __init__(self, facts: FactStore, runner: asyncio.Runner) -> None:
        self._facts = facts
        self._runner = runner

    def add(self, *facts: Fact | Seen[Fact]) -> None:
        self._runner.run(
            self._facts.add([one if isinstance(one, Seen) else seen(one) for one in facts])
        )

    def touched(self, *facts: Fact) -> frozenset[AssignmentId]:
        return self._runner.run(self._facts.touched(facts))

    def dossiers(self, ids: Sequence[AssignmentId]) -> list[Dossier]:
        return self._runner.run(self._facts.dossiers(ids))

    def evidence_of(self, assignment: Assignment) -> set[Evidence]:
        [dossier] = self.dossiers([assignment.id])
        facts = [one.fact for one in dossier.evidence]
        assert len(facts) == len(set(facts))
        return set(facts)

    def assignments(self) -> set[AssignmentId]:
        async def collect() -> set[AssignmentId]:
            return {of async for of in self._facts.assignments()}

        return self._runner.run(collect())

    def close(self) -> None:
        self._runner.run(self._facts.close())


@pytest.fixture(
    params=[
        "memory",
        pytest.param("redis", marks=pytest.mark.stack),
        pytest.param("placed", marks=pytest.mark.stack),
    ]
)
def store(request: pytest.FixtureRequest, namespace: str) -> Iterator[Store]:
    with asyncio.Runner() as runner:
        facts: FactStore
        if request.param == "memory":
            facts = MemoryFacts(WINDOWS)
        else:
            client = connect(request.getfixturevalue("stack").redis_url)
            if request.param == "redis":
                facts = RedisFacts(client, namespace, WINDOWS)
            else:
                placement = Placement(client, namespace)
                runner.run(made_ready(placement))
                facts = PlacedFacts(placement, WINDOWS)
        store = Store(facts, runner)
        yield store
        store.close()


async def made_ready(placement: Placement) -> None:
    site = await placement.begin("token", WINDOWS)
    await site.put_in_force()
    await site.finish()


def test_what_was_added_is_read_back_whole(store: Store) -> None:
    assignment = an_assignment(upn="dana@contoso.example")
    facts: list[Evidence] = [
        a_risk(account_upn=UPN, object_id=OBJECT_ID),
        a_behavior(upn=UPN, account_name="Dana.Admin", object_id=OBJECT_ID),
        a_graph_request(),
    ]

    store.add(assignment, *facts)

    [dossier] = store.dossiers([assignment.id])
    assert dossier.id == assignment.id
    assert dossier.variants == (seen(assignment),)
    assert set(dossier.evidence) == {seen(fact) for fact in facts}


def test_adding_again_changes_nothing_and_the_first_position_stays(store: Store) -> None:
    assignment, risk = an_assignment(), a_risk(object_id=OBJECT_ID)
    store.add(seen(assignment, 5), seen(risk, 5), seen(risk, 4))

    store.add(seen(assignment, 3), seen(risk, 3))

    [dossier] = store.dossiers([assignment.id])
    assert dossier.variants == (seen(assignment, 5),)
    assert dossier.evidence == (seen(risk, 5),)


def test_variants_of_one_assignment_stand_beside_each_other(store: Store) -> None:
    variants = [
        an_assignment(),
        an_assignment(at=later(MONDAY, timedelta(0), 1)),
        an_assignment(identity="Eve@contoso.example"),
        an_assignment(at=later(MONDAY, timedelta(days=-400))),
    ]

    for variant in variants:
        store.add(variant)

    [dossier] = store.dossiers([variants[0].id])
    assert {one.fact for one in dossier.variants} == set(variants)


def test_evidence_of_every_variant_is_found(store: Store) -> None:
    old = later(MONDAY, timedelta(days=-400))
    other = an_assignment(at=old, identity="eve@contoso.example", object_id="")
    risk = a_risk(at=old, upn="Eve@contoso.example")

    store.add(an_assignment(), other, risk)

    assert store.evidence_of(other) == {risk}


def test_rows_that_differ_in_time_alone_are_two(store: Store) -> None:
    assignment = an_assignment()
    behaviors = [a_behavior(at=later(MONDAY, timedelta(0), tick), upn=UPN) for tick in range(2)]

    store.add(assignment, *behaviors)

    assert store.evidence_of(assignment) == set(behaviors)


def by_upn(at: EventTime) -> Evidence:
    return a_risk(at=at, upn="DANA.admin@CONTOSO.example")


def by_account_upn(at: EventTime) -> Evidence:
    return a_risk(at=at, upn="", account_upn=UPN)


def by_object_id(at: EventTime) -> Evidence:
    return a_risk(at=at, upn="", object_id=OBJECT_ID)


def by_account_name(at: EventTime) -> Evidence:
    return a_behavior(at=at, account_name=UPN.upper())


def by_request_id(at: EventTime) -> Evidence:
    return a_graph_request(at=at, client_request_id=REQUEST_ID.swapcase())


ROUTES = (by_upn, by_account_upn, by_object_id, by_account_name, by_request_id)


@pytest.mark.parametrize("evidence_at", ROUTES)
@pytest.mark.parametrize("identity", [UPN, "See Actor details in properties"])
def test_assignment_and_evidence_find_each_other(
    store: Store, evidence_at: Callable[[EventTime], Evidence], identity: str
) -> None:
    evidence, assignment = evidence_at(MONDAY), an_assignment(identity=identity, upn=UPN)

    store.add(evidence)
    store.add(assignment)

    assert store.touched(evidence) == {assignment.id}
    assert store.evidence_of(assignment) == {evidence}


@pytest.mark.parametrize("evidence_at", ROUTES)
@pytest.mark.parametrize("end", ["first", "last"])
@pytest.mark.parametrize("start", ["1601-01-01T00:00:00Z", "1969-12-31T23:59:59.9999999Z"])
def test_both_ends_of_a_window_belong_to_it(
    store: Store, evidence_at: Callable[[EventTime], Evidence], end: str, start: str
) -> None:
    window = WINDOWS.graph if evidence_at is by_request_id else WINDOWS.evidence
    for day in range(17):  # so that the ends lie everywhere in a bucket
        assignment = an_assignment(f"a{day}", at=later(moment(start), timedelta(days=day)))
        first, last = window.around(assignment.event_time)
        evidence = evidence_at(first if end == "first" else last)

        store.add(assignment, evidence)

        assert assignment.id in store.touched(evidence)
        assert evidence in store.evidence_of(assignment)


@pytest.mark.parametrize("evidence_at", ROUTES)
@pytest.mark.parametrize("more", [-1, 1])
def test_evidence_a_tick_outside_the_window_touches_nothing(
    store: Store, evidence_at: Callable[[EventTime], Evidence], more: int
) -> None:
    window = WINDOWS.graph if evidence_at is by_request_id else WINDOWS.evidence
    assignment = an_assignment()
    end = later(MONDAY, window.after if more > 0 else -window.before, more)

    store.add(assignment)

    assert store.touched(evidence_at(end)) == frozenset()


def test_whichever_of_two_facts_comes_second_sees_the_first(store: Store) -> None:
    for number, order in enumerate(permutations(range(4))):
        upn = f"user{number}@contoso.example"
        assignments = [
            an_assignment(f"a{number}", identity=upn, object_id=""),
            an_assignment(f"b{number}", identity=upn, object_id=""),
        ]
        facts: list[Fact] = [*assignments, a_risk(upn=upn), a_behavior(upn=upn)]
        asked: set[AssignmentId] = set()
        known: set[Evidence] = set()
        for place in order:
            store.add(facts[place])
            touched = store.touched(facts[place])
            if any(of in touched for of in (one.id for one in assignments)):
                asked |= touched
                known = {one.fact for of in store.dossiers(list(touched)) for one in of.evidence}

        assert asked == {one.id for one in assignments}
        assert known == set(facts[2:])


def test_an_assignment_touches_itself_alone(store: Store) -> None:
    one, other = an_assignment("a"), an_assignment("b")

    store.add(one, other)

    assert store.touched(one) == {one.id}


def test_a_fact_without_any_key_touches_nothing(store: Store) -> None:
    store.add(an_assignment(identity="", object_id="", correlation_id=""), a_risk(upn=""))

    assert store.touched(a_risk(upn="")) == frozenset()


def test_an_unknown_assignment_has_a_dossier_without_variants(store: Store) -> None:
    unknown = AssignmentId(CONTOSO, "never seen")

    assert store.dossiers([unknown]) == [Dossier(unknown, (), ())]


def test_dossiers_come_in_the_order_asked_repeats_included(store: Store) -> None:
    ids = [an_assignment(name).id for name in ("c", "a", "b", "a", "unknown")]
    store.add(*(an_assignment(name) for name in ("a", "b", "c")))

    assert [dossier.id for dossier in store.dossiers(ids)] == ids


def test_asking_nothing_answers_nothing(store: Store) -> None:
    store.add()

    assert store.touched() == frozenset()
    assert store.dossiers([]) == []
    assert store.assignments() == set()


def test_every_assignment_is_iterated_over_and_evidence_is_not(store: Store) -> None:
    assignments = [an_assignment(f"a{number}") for number in range(2_500)]

    store.add(*assignments, a_risk())

    assert store.assignments() == {one.id for one in assignments}


def test_tenants_never_mix(store: Store) -> None:
    ours, theirs = an_assignment(tenant_id=CONTOSO), an_assignment(tenant_id=FABRIKAM)
    risk = a_risk(tenant_id=FABRIKAM, object_id=OBJECT_ID)

    store.add(ours, theirs, risk)

    assert store.evidence_of(ours) == set()
    assert store.evidence_of(theirs) == {risk}
    assert store.touched(risk) == {theirs.id}


def test_hostile_ids_and_texts_never_meet(store: Store) -> None:
    pairs = [(tenant, text) for tenant in HOSTILE for text in HOSTILE]
    assignments = [
        an_assignment(text, tenant_id=tenant, identity=text, object_id=text, correlation_id="")
        for tenant, text in pairs
    ]
    risks = [a_risk(tenant_id=tenant, upn=text) for tenant, text in pairs]

    store.add(*assignments, *risks)

    assert store.assignments() == {one.id for one in assignments}
    dossiers = store.dossiers([one.id for one in assignments])
    for dossier, assignment in zip(dossiers, assignments, strict=True):
        theirs = {risk for risk in risks if meet(assignment, risk)}
        assert [one.fact for one in dossier.variants] == [assignment]
        assert {one.fact for one in dossier.evidence} == theirs
    for risk in risks:
        assert store.touched(risk) == {one.id for one in assignments if meet(one, risk)}


def meet(assignment: Assignment, risk: Risk) -> bool:
    same_tenant = assignment.tenant_id == risk.tenant_id
    return same_tenant and not keys_of(assignment).isdisjoint(keys_of(risk))


def test_the_latest_fact_of_each_kind_is_that_of_the_whole_tenant(store: Store) -> None:
    assignment, of_another = an_assignment(), "eve@contoso.example"
    latest = [later(MONDAY, timedelta(days=days)) for days in (30, 20, 10)]

    store.add(
        assignment,
        a_risk(at=latest[0], upn=of_another),
        a_risk(at=MONDAY),
        a_behavior(at=latest[1], upn=of_another),
        a_graph_request(at=latest[2], client_request_id="another"),
        a_risk(at=later(MONDAY, timedelta(days=40)), tenant_id=FABRIKAM),
    )

    [dossier] = store.dossiers([assignment.id])
    assert dossier.latest == Latest(*latest)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_latest_fact_is_known_in_whichever_order_facts_come(
    store: Store, order: tuple[int, ...]
) -> None:
    assignment = an_assignment()
    store.add(assignment)

    for day in order:
        store.add(a_risk(at=later(MONDAY, timedelta(days=day))))

    [dossier] = store.dossiers([assignment.id])
    assert dossier.latest == Latest(risk=later(MONDAY, timedelta(days=2)))


def test_a_tenant_of_which_no_evidence_ever_came_has_no_latest(store: Store) -> None:
    assignment = an_assignment()

    store.add(assignment, a_risk(tenant_id=FABRIKAM))

    [dossier] = store.dossiers([assignment.id])
    assert dossier.latest == Latest()
