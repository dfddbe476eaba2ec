"""Laws of what differs between two policies: what is named a cause is one, and nothing else is."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from builders import (
    DANA,
    DANA_ID,
    MONDAY,
    OTHER_TENANT,
    PARTNER,
    TENANT,
    a_behavior,
    a_graph_request,
    a_risk,
    an_assignment,
    shifted,
)
from hypothesis import event, given, settings
from hypothesis import strategies as st

from pipeline.backtest.compare import LiveKind, difference, live_differences
from pipeline.backtest.result import Change, Difference
from pipeline.core.evaluate import evaluate
from pipeline.core.model import Assignment, Evidence
from pipeline.core.policy import AllowEntry, Policy, Reason
from pipeline.core.verdict import Outcome
from pipeline.policy_file import read_policy

File = dict[str, Any]
"""The content of a policy file."""

HOUR = timedelta(hours=1)
ENTRIES: dict[str, File] = {
    "risk by upn": {"account": DANA, "reasons": ["user_risk"]},
    "risk by id": {"account": DANA_ID, "reasons": ["user_risk"]},
    "behavior by id": {"account": DANA_ID, "reasons": ["risky_behavior"]},
    "partner here": {"partner_tenant": PARTNER, "tenants": [TENANT]},
    "partner by upn": {"account": DANA, "reasons": ["delegated_admin"]},
    "elsewhere": {"partner_tenant": PARTNER, "tenants": [OTHER_TENANT]},
}


def _written_entry(name: str) -> File:
    since, until = (datetime(2026, 3, day, tzinfo=UTC) for day in (1, 4))
    usual = {"name": name, "owner": "soc", "cause": "planned", "since": since, "until": until}
    return usual | ENTRIES[name]


severities = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("usual", "raised"), st.sampled_from(["low", "medium", "high"]))
)
reason_lists = st.lists(st.sampled_from([one.value for one in Reason]), max_size=2, unique=True)
tenant_parts = st.fixed_dictionaries(
    {}, optional={"severity": severities, "disabled_reasons": reason_lists}
)
spans = st.sampled_from(["0s", "1h", "2h", "3h"])
files: st.SearchStrategy[File] = st.fixed_dictionaries(
    {
        "allow": st.lists(st.sampled_from(sorted(ENTRIES)), unique=True).map(
            lambda names: [_written_entry(one) for one in names]
        )
    },
    optional={
        "matching": st.sampled_from(["repaired", "faithful"]),
        "windows": st.fixed_dictionaries(
            {}, optional=dict.fromkeys(("before", "after", "graph", "lateness"), spans)
        ),
        "severity": severities,
        "disabled_reasons": reason_lists,
        "tenants": st.dictionaries(st.sampled_from([TENANT, OTHER_TENANT]), tenant_parts),
    },
)
times = st.sampled_from([shifted(MONDAY, by * HOUR) for by in (-2.5, -1.5, -0.5, 0.5, 1.5)])
names = st.sampled_from([DANA, DANA.upper(), ""])
evidence = st.lists(
    st.one_of(
        st.builds(
            a_risk,
            at=times,
            level=st.sampled_from(["Medium", "High"]),
            upn=names,
            object_id=st.sampled_from(["", DANA_ID]),
        ),
        st.builds(a_behavior, at=times, upn=names, account_name=names),
        st.builds(a_graph_request, at=times),
    ),
    min_size=1,
    max_size=4,
)
assignments = st.lists(
    st.builds(
        an_assignment,
        at=st.sampled_from([MONDAY, shifted(MONDAY, HOUR)]),
        upn=names,
        object_id=st.sampled_from([DANA_ID, ""]),
        delegated=st.booleans(),
        partner=st.sampled_from([PARTNER, ""]),
    ),
    min_size=1,
    max_size=2,
)


@st.composite
def pairs_of_files(draw: st.DrawFn) -> tuple[File, File]:
    """Draw two files that mostly agree, as those of one provider do."""
    before, other = draw(files), draw(files)
    keys = draw(st.sets(st.sampled_from(sorted({*before, *other})), min_size=1))
    after = {name: of for name, of in before.items() if name not in keys}
    return before, after | {name: of for name, of in other.items() if name in keys}


def policy_of(file: File) -> Policy:
    return read_policy(file, "policy.toml")


def of_settings(file: File) -> dict[str, object]:
    """Lay a file out by the names under which causes are told, each with what it says there."""
    policy = policy_of(file)
    laid: dict[str, object] = {
        "matching": policy.matching,
        "windows.before": policy.windows.evidence.before,
        "windows.after": policy.windows.evidence.after,
        "windows.graph": policy.windows.graph,
    }
    for place, of in (("", policy.everywhere), (f"tenants.{TENANT}.", policy.of(TENANT))):
        laid[f"{place}severity.usual"] = of.severities.usual
        laid[f"{place}severity.raised"] = of.severities.raised
        laid[f"{place}disabled_reasons"] = of.disabled
    return laid | {f'allow."{one.name}"': one for one in policy.allow_list}


def with_setting(file: File, name: str, source: File) -> File:
    """Write one setting of another file into a file, as an editor would."""
    if name.startswith("allow."):
        entry = name.removeprefix('allow."').removesuffix('"')
        allow = [one for one in file["allow"] if one["name"] != entry]
        return file | {"allow": allow + [one for one in source["allow"] if one["name"] == entry]}
    *path, last = name.split(".")
    if path[:1] == ["tenants"]:  # what a tenant follows is written out, or its own would stay
        of = policy_of(source).of(TENANT)
        value: object = {
            "disabled_reasons": sorted(of.disabled),
            "usual": of.severities.usual,
            "raised": of.severities.raised,
        }[last]
        return _written(file, (*path, last), value)
    there: Any = source
    for part in path:
        there = there.get(part, {})
    return _written(file, (*path, last), there.get(last))


def _written(file: File, path: tuple[str, ...], value: object) -> File:
    first, *rest = path
    if rest:
        return file | {first: _written(file.get(first, {}), tuple(rest), value)}
    others = {name: of for name, of in file.items() if name != first}
    return others if value is None else others | {first: value}


def compared(
    of: list[Assignment], facts: list[Evidence], before: File, after: File
) -> Difference | None:
    return difference(of, facts, policy_of(before), policy_of(after))


@settings(max_examples=200, deadline=None)
@given(of=assignments, facts=evidence, file=files)
def test_a_policy_does_not_differ_from_itself(
    of: list[Assignment], facts: list[Evidence], file: File
) -> None:
    backwards = file | {"allow": file["allow"][::-1]}

    assert compared(of, facts, file, file) is None
    assert compared(of, facts, file, backwards) is None


@settings(max_examples=250, deadline=None)
@given(of=assignments, facts=evidence, both=pairs_of_files())
def test_a_difference_is_told_exactly_when_another_alert_or_none_stands(
    of: list[Assignment], facts: list[Evidence], both: tuple[File, File]
) -> None:
    verdicts = [evaluate(of, facts, policy_of(one)) for one in both]
    alerts = [one.digest if one.outcome is Outcome.ALERT else None for one in verdicts]

    found = compared(of, facts, *both)

    assert (found is not None) is (alerts[0] != alerts[1])
    if found is not None:
        assert [found.before, found.after] == verdicts
        assert (found.change is Change.NEW) is (alerts[0] is None)
        assert (found.change is Change.GONE) is (alerts[1] is None)
        assert bool(found.fields) is (found.change is Change.CHANGED)
        event(found.change)
        event(f"{len(found.causes)} causes")


@settings(max_examples=250, deadline=None)
@given(of=assignments, facts=evidence, both=pairs_of_files())
def test_the_way_back_has_the_same_causes_and_fields(
    of: list[Assignment], facts: list[Evidence], both: tuple[File, File]
) -> None:
    there, back = compared(of, facts, *both), compared(of, facts, *both[::-1])

    opposite = {Change.NEW: Change.GONE, Change.GONE: Change.NEW, Change.CHANGED: Change.CHANGED}
    turned = there and replace(
        there, change=opposite[there.change], before=there.after, after=there.before
    )
    assert back == turned


@settings(max_examples=250, deadline=None)
@given(of=assignments, facts=evidence, both=pairs_of_files())
def test_there_is_a_cause_and_each_is_a_setting_in_which_the_files_differ(
    of: list[Assignment], facts: list[Evidence], both: tuple[File, File]
) -> None:
    before, after = (of_settings(one) for one in both)

    found = compared(of, facts, *both)

    assert found is None or found.causes
    for cause in found.causes if found else ():
        assert before.get(cause) != after.get(cause)


@settings(max_examples=250, deadline=None)
@given(of=assignments, facts=evidence, both=pairs_of_files())
def test_a_lone_cause_decides_when_an_editor_changes_nothing_else_or_all_else(
    of: list[Assignment], facts: list[Evidence], both: tuple[File, File]
) -> None:
    before, after = both
    found = compared(of, facts, before, after)

    if found is not None and len(found.causes) == 1:
        (cause,) = found.causes
        event(cause.split(".")[0])
        only_it = with_setting(before, cause, after)
        all_but_it = with_setting(after, cause, before)
        assert compared(of, facts, before, only_it) or compared(of, facts, all_but_it, after)


SETTINGS = [
    "matching",
    "windows.before",
    "windows.after",
    "windows.graph",
    f"tenants.{TENANT}.severity.usual",
    f"tenants.{TENANT}.severity.raised",
    f"tenants.{TENANT}.disabled_reasons",
    *(f'allow."{one}"' for one in ENTRIES),
]
far_ones = st.sampled_from(
    [
        {
            "matching": matching,
            "windows": dict.fromkeys(("before", "after", "graph"), span),
            "severity": {"usual": "high", "raised": "informational"},
            "disabled_reasons": disabled,
            "allow": [_written_entry(name) for name in allowed],
        }
        for matching in ("repaired", "faithful")
        for span, disabled, allowed in [("0s", ["user_risk"], []), ("3h", [], sorted(ENTRIES))]
    ]
)


@settings(max_examples=300, deadline=None)
@given(of=assignments, facts=evidence, file=files, far=far_ones, name=st.sampled_from(SETTINGS))
def test_one_edit_that_makes_a_difference_is_its_only_cause(
    of: list[Assignment], facts: list[Evidence], file: File, far: File, name: str
) -> None:
    edited = with_setting(file, name, far)

    found = compared(of, facts, file, edited)

    event("a difference" if found else "none")
    assert found is None or found.causes in ((name,), (name.removeprefix(f"tenants.{TENANT}."),))


@settings(max_examples=150, deadline=None)
@given(
    of=assignments,
    facts=evidence,
    both=pairs_of_files(),
    part=tenant_parts,
    lateness=spans,
)
def test_settings_that_do_not_concern_an_assignment_change_nothing_about_it(
    of: list[Assignment],
    facts: list[Evidence],
    both: tuple[File, File],
    part: File,
    lateness: str,
) -> None:
    before, after = (policy_of(one) for one in both)
    stranger = policy_of(both[1] | {"tenants": {"third": part}}).tenants
    more = replace(
        after,
        windows=replace(
            after.windows, lateness=policy_of({"windows": {"lateness": lateness}}).windows.lateness
        ),
        tenants={**after.tenants, **stranger},
        allow_list=(
            *(replace(one, owner="another", cause="another") for one in after.allow_list),
            _an_entry_of_another_tenant(),
        ),
        workspaces={"w": TENANT},
    )

    assert difference(of, facts, before, more) == difference(of, facts, before, after)


def _an_entry_of_another_tenant() -> AllowEntry:
    return AllowEntry(
        name="third",
        reasons=frozenset(Reason),
        owner="soc",
        cause="planned",
        since=shifted(MONDAY, -HOUR),
        until=shifted(MONDAY, HOUR),
        account=DANA.lower(),
        tenants=frozenset({"third"}),
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["a", "b"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xyz"), inner),
    max_leaves=5,
)
published_alerts = st.dictionaries(st.sampled_from(["a1", "a2", "a3"]), json_values, max_size=3)


def _as_published(drawn: Mapping[str, object], status: str = "active") -> dict[str, dict[str, Any]]:
    return {
        alert_id: {
            "alert_id": alert_id,
            "tenant_id": TENANT,
            "audit_event_id": f"event of {alert_id}",
            "event_time": "2026-03-02T09:12:41.5530000Z",
            "status": status,
            "evidence": of,
        }
        for alert_id, of in drawn.items()
    }


@settings(max_examples=300, deadline=None)
@given(ours=published_alerts, theirs=published_alerts)
def test_live_differs_where_what_is_published_differs_and_nowhere_else(
    ours: dict[str, object], theirs: dict[str, object]
) -> None:
    expected = {
        one
        for one in {*ours, *theirs}
        if (one in ours, ours.get(one)) != (one in theirs, theirs.get(one))
    }

    found = live_differences(_as_published(ours), _as_published(theirs))

    assert [one.alert_id for one in found] == sorted(expected)
    for one in found:
        assert (one.kind is LiveKind.MISSING) is (one.alert_id not in theirs)
        assert (one.kind is LiveKind.UNEXPECTED) is (one.alert_id not in ours)
        assert bool(one.fields) is (one.kind is LiveKind.DIFFERENT)


@settings(max_examples=100, deadline=None)
@given(ours=published_alerts, gone=published_alerts)
def test_what_live_has_withdrawn_it_has_not(
    ours: dict[str, object], gone: dict[str, object]
) -> None:
    withdrawn = _as_published(gone, "withdrawn")

    assert live_differences(_as_published(ours), withdrawn) == live_differences(
        _as_published(ours), {}
    )
