import re
from itertools import chain

from facts import facts_of
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.adapters.packing import (
    Entry,
    pack,
    pack_entry,
    pack_name,
    pack_position,
    unpack,
    unpack_entry,
    unpack_name,
    unpack_position,
)
from pipeline.adapters.redis_keys import Names
from pipeline.adapters.text_packing import KNOWN_TEXTS
from pipeline.core.event_time import EventTime
from pipeline.core.evidence import BEHAVIORS_THAT_COUNT, Key, KeyKind, keys_of
from pipeline.core.model import (
    AssignmentId,
    Behavior,
    Fact,
    Position,
    Risk,
    Seen,
)

TENANT = "5f0c6c0a-0d3c-4c1e-9a57-1d6f5d3f0a11"

anything = st.text(st.characters(), max_size=20)  # halves of surrogate pairs among them
close_to_a_form = st.one_of(
    st.sampled_from(KNOWN_TEXTS),
    st.sampled_from(
        ["oa", "OA00", "oa0", "Dana.Admin", "dana.admin@contoso.example", "\u212a", "\u017f"]
    ),
    st.from_regex(r"(oa)?([0-9a-fA-F]{2}){0,40}", fullmatch=True),
    st.uuids().flatmap(lambda one: st.sampled_from([str(one), str(one).upper(), one.hex])),
)
texts = anything | close_to_a_form | st.text("aAbBİi", max_size=3)
event_times = st.integers(-(2**63), 2**63 - 1).map(EventTime)
positions = st.builds(
    Position,
    topic=st.sampled_from(["intune.audit.v1", "graph.activity.v1"]) | anything,
    partition=st.integers(0, 2**31 - 1),
    offset=st.integers(0, 2**63 - 1),
    index=st.none() | st.integers(0, 2**31 - 1),
)
risks, behaviors, graph_requests, assignments = facts_of(TENANT, texts, event_times)
facts: st.SearchStrategy[Fact] = st.one_of(risks, behaviors, graph_requests, assignments)
sightings = st.builds(Seen[Fact], facts, positions)
names_near = texts | st.text(max_size=20).map(str.lower)


def own_field(seen: Seen[Fact], near: str) -> bytes:
    return list(pack(seen, near))[-1]


@given(st.lists(sightings, max_size=6, unique_by=lambda seen: seen.fact), names_near)
def test_facts_that_share_a_hash_come_back_as_they_went_in(
    written: list[Seen[Fact]], near: str
) -> None:
    fields = dict(chain.from_iterable(pack(seen, near).items() for seen in written))

    assert set(unpack(fields, TENANT, near)) == set(written)


@given(sightings)
def test_a_fact_comes_back_from_under_each_of_its_keys(seen: Seen[Fact]) -> None:
    for key in keys_of(seen.fact):
        assert list(unpack(pack(seen, key.text), TENANT, key.text)) == [seen]


@given(facts, positions, positions, names_near)
def test_equal_facts_have_one_field_wherever_they_were_seen(
    fact: Fact, one: Position, other: Position, near: str
) -> None:
    assert own_field(Seen(fact, one), near) == own_field(Seen(fact, other), near)


@given(facts, facts, positions, names_near)
@example(
    Risk(TENANT, EventTime(0), "High", "ab", "c"),
    Risk(TENANT, EventTime(0), "High", "a", "bc"),
    Position("t", 0, 0),
    "",
)
def test_facts_that_differ_have_fields_of_their_own(
    one: Fact, other: Fact, position: Position, near: str
) -> None:
    same = own_field(Seen(one, position), near) == own_field(Seen(other, position), near)

    assert same == (one == other)


@given(risks | behaviors, positions, names_near)
def test_a_row_is_passed_over_until_its_account_is_there(
    fact: Fact, position: Position, near: str
) -> None:
    *_, (field, value) = pack(Seen(fact, position), near).items()

    assert list(unpack({field: value}, TENANT, near)) == []


@given(positions)
def test_a_position_comes_back(position: Position) -> None:
    assert unpack_position(pack_position(position)) == position


@given(event_times, texts)
def test_an_entry_of_the_index_comes_back(event_time: EventTime, audit_event_id: str) -> None:
    entry = Entry(event_time, audit_event_id)

    assert unpack_entry(pack_entry(entry)) == entry


@given(texts, texts)
def test_the_id_of_an_assignment_comes_back_from_its_name_or_its_field(
    tenant_id: str, audit_event_id: str
) -> None:
    of, names = AssignmentId(tenant_id, audit_event_id), Names("masswatch")
    told = names.assignment_of(names.variants(of))

    assert told == of or (told is None and "=" in names.variants(of))
    assert unpack_name(pack_name(of)) == of
    assert list(unpack(pack_name(of), tenant_id, "")) == []


@given(texts, texts, texts, texts)
def test_names_of_keys_meet_only_for_the_same_tenant_and_text(
    tenant: str, text: str, other_tenant: str, other_text: str
) -> None:
    names, kind = Names("masswatch"), KeyKind.IDENTITY
    one = names.evidence(tenant, Key(kind, text), 3)
    other = names.evidence(other_tenant, Key(kind, other_text), 3)

    assert (one == other) == ((tenant, text) == (other_tenant, other_text))
    assert re.fullmatch(r"masswatch/e(/[\w.~=%@-]*){4}", one, re.ASCII)


def test_every_action_type_costs_one_byte() -> None:
    sizes = {
        len(own_field(Seen(Behavior(TENANT, EventTime(0), "", one), Position("t", 0, 0)), ""))
        for one in BEHAVIORS_THAT_COUNT
    }

    assert sizes == {1 + 8 + 12 + 1 + 1}
