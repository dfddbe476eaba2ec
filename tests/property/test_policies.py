"""Laws of the policy: it moves reasons, invents none, and every wrong file is said to be wrong."""

import itertools
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta

from builders import (
    DANA,
    DANA_ID,
    MONDAY,
    OTHER_TENANT,
    PARTNER,
    TENANT,
    a_behavior,
    a_risk,
    an_assignment,
    shifted,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError
from pipeline.core.evaluate import evaluate
from pipeline.core.event_time import event_time_of
from pipeline.core.model import Assignment, Evidence
from pipeline.core.policy import AllowEntry, Policy, Reason, TenantPolicy
from pipeline.policy_file import read_policy

reasons = st.frozensets(st.sampled_from(Reason), min_size=1)
tenant_sets = st.frozensets(st.sampled_from([TENANT, OTHER_TENANT]))
bounds = st.lists(
    st.sampled_from([shifted(MONDAY, plus_ticks=one) for one in (-2, -1, 0, 1, 2)]),
    min_size=2,
    max_size=2,
    unique=True,
).map(sorted)


@st.composite
def entries(draw: st.DrawFn) -> AllowEntry:
    since, until = draw(bounds)
    is_partner = draw(st.booleans())
    return AllowEntry(
        name=draw(st.sampled_from(["CHG-1", "CHG-2", "CHG-3"])),
        reasons=frozenset({Reason.DELEGATED_ADMIN}) if is_partner else draw(reasons),
        owner="soc@example.org",
        cause="planned",
        since=since,
        until=until,
        partner_tenant_id=PARTNER if is_partner else "",
        account="" if is_partner else draw(st.sampled_from([DANA.lower(), DANA_ID])),
        tenants=draw(tenant_sets),
    )


tenant_policies = st.builds(TenantPolicy, disabled=st.frozensets(st.sampled_from(Reason)))
policies = st.builds(
    Policy,
    everywhere=tenant_policies,
    tenants=st.dictionaries(st.sampled_from([TENANT, OTHER_TENANT]), tenant_policies),
    allow_list=st.lists(entries(), max_size=4).map(tuple),
)
histories = st.lists(st.sampled_from([a_risk(), a_risk(level="High"), a_behavior()]), max_size=3)


@settings(max_examples=300, deadline=None)
@given(policy=policies, facts=histories, delegated=st.booleans())
def test_a_policy_moves_reasons_to_withheld_and_invents_and_loses_none(
    policy: Policy, facts: list[Evidence], *, delegated: bool
) -> None:
    of = [an_assignment(delegated=delegated, partner=PARTNER)]

    bare, judged = evaluate(of, facts, Policy()), evaluate(of, facts, policy)

    withheld = {one.reason for one in judged.withheld}
    assert set(judged.reasons) | withheld == set(bare.reasons)
    assert not set(judged.reasons) & withheld
    assert (judged.risk, judged.behaviors) == (bare.risk, bare.behaviors)


@settings(max_examples=300, deadline=None)
@given(policy=policies, facts=histories, delegated=st.booleans())
def test_the_order_of_the_allow_list_changes_nothing(
    policy: Policy, facts: list[Evidence], *, delegated: bool
) -> None:
    backwards = Policy(
        everywhere=policy.everywhere,
        tenants=policy.tenants,
        allow_list=policy.allow_list[::-1],
    )
    of = [an_assignment(delegated=delegated, partner=PARTNER)]

    assert evaluate(of, facts, backwards) == evaluate(of, facts, policy)
    assert backwards.digest == policy.digest


@settings(max_examples=300, deadline=None)
@given(policy=policies, facts=histories)
def test_entries_that_are_over_or_not_begun_or_elsewhere_change_nothing(
    policy: Policy, facts: list[Evidence]
) -> None:
    of = [an_assignment(delegated=True, partner=PARTNER)]
    holding = [
        entry
        for entry in policy.allow_list
        if entry.since <= MONDAY < entry.until and (not entry.tenants or TENANT in entry.tenants)
    ]
    fewer = Policy(everywhere=policy.everywhere, tenants=policy.tenants, allow_list=tuple(holding))

    assert evaluate(of, facts, fewer).digest == evaluate(of, facts, policy).digest


days = st.integers(1, 5).map(lambda day: datetime(2026, 3, day, tzinfo=UTC))


@st.composite
def written_entries(draw: st.DrawFn) -> dict[str, object]:
    since = draw(days)
    entry: dict[str, object] = {
        "owner": "soc@example.org",
        "cause": "planned",
        "since": since,
        "until": since + draw(st.sampled_from([timedelta(days=1), timedelta(days=2)])),
    }
    scope = draw(tenant_sets)
    if scope:
        entry["tenants"] = sorted(scope)
    if draw(st.booleans()):
        return entry | {"partner_tenant": PARTNER}
    account = draw(st.sampled_from([DANA, DANA.upper(), "eve@example.org"]))
    return entry | {"account": account, "reasons": sorted(draw(reasons))}


def made_by(who: str, tenant: str) -> Assignment:
    return an_assignment(tenant=tenant, identity=who, upn="", object_id="", partner=PARTNER)


@settings(max_examples=200, deadline=None)
@given(st.lists(written_entries(), min_size=2, max_size=2))
def test_two_entries_conflict_exactly_when_both_could_take_the_same_reason(
    written: list[dict[str, object]],
) -> None:
    named = [one | {"name": f"CHG-{number}"} for number, one in enumerate(written)]
    each = [read_policy({"allow": [one]}, "policy").allow_list[0] for one in named]
    accounts = [DANA, "eve@example.org"]
    moments = [event_time_of(datetime(2026, 3, day, tzinfo=UTC)) for day in range(1, 8)]
    both_take = any(
        all(entry.takes(reason, made_by(who, tenant), at) for entry in each)
        for reason, tenant, who, at in itertools.product(
            Reason, (TENANT, OTHER_TENANT, "third"), accounts, moments
        )
        if len({entry.partner_tenant_id for entry in each}) == 1
    )

    try:
        read_policy({"allow": named}, "policy")
        conflict = False
    except ConfigError as error:
        conflict = "overlap" in str(error)

    assert conflict is both_take


toml_values = st.recursive(
    st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.dates()
    | st.datetimes()
    | st.times(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
keys = st.sampled_from(
    ["matching", "windows", "severity", "disabled_reasons", "allow", "workspaces", "tenants", "odd"]
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(keys, toml_values))
def test_no_file_at_all_raises_anything_but_its_faults(content: dict[str, object]) -> None:
    with suppress(ConfigError):
        read_policy(content, "policy")


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            ["name", "account", "partner_tenant", "tenants", "reasons", "owner", "cause", "odd"]
        ),
        toml_values,
    ),
    st.sampled_from([date(2026, 3, 1), datetime(2026, 3, 1, tzinfo=UTC), date.max, "soon"]),
)
def test_no_entry_at_all_raises_anything_but_its_faults(
    entry: dict[str, object], since: object
) -> None:
    with suppress(ConfigError):
        read_policy({"allow": [{**entry, "since": since, "until": date(2026, 4, 1)}]}, "policy")
