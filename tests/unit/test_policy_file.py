from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from builders import DANA, MONDAY, OTHER_TENANT, PARTNER, TENANT, an_assignment, shifted

from pipeline.core.errors import ConfigError
from pipeline.core.event_time import event_time_of
from pipeline.core.evidence import Matching
from pipeline.core.policy import AllowEntry, Policy, Reason, Severities, Severity, TenantPolicy
from pipeline.core.window import Window, Windows
from pipeline.policy_file import load_policy, read_policy

EXAMPLE = Path(__file__).parents[2] / "docker" / "policy.example.toml"


def an_entry(**members: object) -> dict[str, object]:
    usual = {
        "name": "CHG-1",
        "account": DANA,
        "reasons": ["user_risk"],
        "owner": "soc@example.org",
        "cause": "planned",
        "since": date(2026, 3, 1),
        "until": date(2026, 3, 8),
    }
    return {name: of for name, of in {**usual, **members}.items() if of is not None}


def a_partner_entry(**members: object) -> dict[str, object]:
    return an_entry(**{"account": None, "reasons": None, "partner_tenant": PARTNER, **members})


def faults_of(**content: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_policy(content, "policy.toml")
    return str(caught.value).splitlines()


def allow_list(*entries: dict[str, object]) -> tuple[AllowEntry, ...]:
    return read_policy({"allow": list(entries)}, "policy.toml").allow_list


def test_without_a_file_the_defaults_hold() -> None:
    assert load_policy(None) == Policy()
    assert read_policy({}, "policy.toml") == Policy()


def test_the_example_says_what_holds_without_it() -> None:
    assert load_policy(EXAMPLE).digest == Policy().digest


def test_the_examples_in_the_example_are_right(tmp_path: Path) -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    uncommented = [
        line.removeprefix("#") if line.startswith("#") and line[1:2] not in {" ", ""} else line
        for line in lines
    ]
    path = tmp_path / "policy.toml"
    path.write_text("\n".join(uncommented), encoding="utf-8")

    policy = load_policy(path)

    assert len(policy.allow_list) == 2
    assert len(policy.workspaces) == 1
    assert [(one.severities, set(one.disabled)) for one in policy.tenants.values()] == [
        (Severities(Severity.MEDIUM, Severity.HIGH), {Reason.DELEGATED_ADMIN})
    ]


def test_a_file_sets_matching_windows_severity_reasons_and_workspaces(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(
        'matching = "faithful"\n'
        'disabled_reasons = ["delegated_admin"]\n'
        '[windows]\nbefore = "7d"\nafter = "1d12h"\ngraph = "90m"\nlateness = "30s"\n'
        '[severity]\nusual = "medium"\nraised = "high"\n'
        f'[workspaces]\n"WORKSPACE-1" = "{TENANT.upper()}"\n',
        encoding="utf-8",
    )

    policy = load_policy(path)

    assert policy.matching is Matching.FAITHFUL
    assert policy.windows == Windows(
        evidence=Window(before=timedelta(days=7), after=timedelta(hours=36)),
        graph=Window(before=timedelta(minutes=90), after=timedelta(minutes=90)),
        lateness=timedelta(seconds=30),
    )
    assert policy.everywhere == TenantPolicy(
        Severities(Severity.MEDIUM, Severity.HIGH), frozenset({Reason.DELEGATED_ADMIN})
    )
    assert policy.workspaces == {"workspace-1": TENANT}


def test_a_tenant_overrides_what_it_names_and_keeps_the_rest() -> None:
    policy = read_policy(
        {
            "severity": {"usual": "informational", "raised": "medium"},
            "disabled_reasons": ["user_risk"],
            "tenants": {
                TENANT.upper(): {"severity": {"raised": "high"}},
                OTHER_TENANT: {"disabled_reasons": []},
            },
        },
        "policy.toml",
    )

    assert policy.of(TENANT) == TenantPolicy(
        Severities(Severity.INFORMATIONAL, Severity.HIGH), frozenset({Reason.USER_RISK})
    )
    assert policy.of(OTHER_TENANT) == TenantPolicy(
        Severities(Severity.INFORMATIONAL, Severity.MEDIUM), frozenset()
    )
    assert policy.of("third").disabled == frozenset({Reason.USER_RISK})


# The allow-list.


def test_an_account_entry_takes_what_it_names_between_its_dates_in_utc() -> None:
    entries = allow_list(an_entry(account=DANA.upper(), tenants=[TENANT.upper()]))

    assert entries == (
        AllowEntry(
            name="CHG-1",
            reasons=frozenset({Reason.USER_RISK}),
            owner="soc@example.org",
            cause="planned",
            since=event_time_of(datetime(2026, 3, 1, tzinfo=UTC)),
            until=event_time_of(datetime(2026, 3, 8, tzinfo=UTC)),
            account=DANA.lower(),
            tenants=frozenset({TENANT}),
        ),
    )


@pytest.mark.parametrize("reasons", [None, ["delegated_admin"]])
def test_a_partner_entry_takes_delegated_admin_away(reasons: object) -> None:
    (entry,) = allow_list(a_partner_entry(partner_tenant=PARTNER.upper(), reasons=reasons))
    assignment = an_assignment(delegated=True, partner=PARTNER)

    taken = [one for one in Reason if entry.takes(one, assignment, MONDAY)]

    assert taken == [Reason.DELEGATED_ADMIN]


def test_a_time_of_day_without_a_zone_is_utc_and_with_one_is_taken_so() -> None:
    (entry,) = allow_list(
        an_entry(
            since=datetime(2026, 3, 2, 9),  # noqa: DTZ001 - TOML's local date-time
            until=datetime.fromisoformat("2026-03-02T12:00:00+02:00"),
        )
    )

    assert entry.since == event_time_of(datetime(2026, 3, 2, 9, tzinfo=UTC))
    assert entry.until == event_time_of(datetime(2026, 3, 2, 10, tzinfo=UTC))


# What is wrong, and all of it at once.


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({"machting": "faithful"}, "machting: no such key: see docker/policy.example.toml"),
        ({"windows": {"befor": "1d"}}, "windows.befor: no such key"),
        ({"tenants": {"t": {"matching": "faithful"}}}, "tenants.t.matching: no such key"),
        ({"allow": [an_entry(ower="x")]}, "allow.0.ower: no such key"),
        ({"matching": "exact"}, "matching: input should be 'repaired' or 'faithful'"),
        ({"severity": {"usual": "critical"}}, "severity.usual: input should be"),
        ({"disabled_reasons": ["risk"]}, "disabled_reasons.0: input should be"),
        ({"allow": [an_entry(owner=None)]}, "allow.0.owner: missing: every entry needs it"),
        ({"allow": [an_entry(owner="")]}, "allow.0.owner: "),
        ({"allow": [an_entry(cause=None)]}, "allow.0.cause: missing: every entry needs it"),
        ({"allow": [an_entry(until=None)]}, "allow.0.until: missing: every entry needs it"),
        ({"allow": [an_entry(since=None)]}, "allow.0.since: missing: every entry needs it"),
        ({"allow": [an_entry(name=None)]}, "allow.0.name: missing: every entry needs it"),
        ({"allow": [an_entry(since="2026-03-01")]}, "allow.0.since: not a date: write 2026-03-31"),
        ({"allow": [an_entry(reasons=None)]}, "allow.0: reasons: an account entry says which"),
        ({"allow": [an_entry(reasons=[])]}, "allow.0.reasons: "),
        ({"allow": [an_entry(account="")]}, "allow.0.account: "),
        ({"allow": [an_entry(account=None)]}, "allow.0: name either partner_tenant or account"),
        (
            {"allow": [an_entry(partner_tenant=PARTNER)]},
            "allow.0: name either partner_tenant or account",
        ),
        (
            {"allow": [a_partner_entry(reasons=["user_risk"])]},
            'allow.0: a partner entry takes "delegated_admin" away and nothing else',
        ),
        ({"allow": [an_entry(until=date(2026, 3, 1))]}, "allow.0: until: not after since"),
        (
            {"allow": [an_entry(name="disabled")]},
            'allow.0: name: "disabled" stands for a disabled reason: take another',
        ),
        ({"allow": 5}, "allow: "),
        ({"tenants": []}, "tenants: "),
        (
            {"tenants": {"T": {}, "t": {}}},
            "tenants: written twice, in two cases: t: remove one",
        ),
        (
            {"workspaces": {"W": "a", "w": "b"}},
            "workspaces: written twice, in two cases: w: remove one",
        ),
    ],
)
def test_a_wrong_setting_is_named_with_what_to_do(content: dict[str, object], fault: str) -> None:
    (line,) = faults_of(**content)

    assert line.startswith(f"policy.toml: {fault}")


@pytest.mark.parametrize("span", ["", "14", "2 d", "-1d", "1h2d", "1.5h", 14, None, True])
def test_what_is_no_span_of_time_is_said_to_be_none(span: object) -> None:
    (line,) = faults_of(windows={"before": span})

    assert line == (
        'policy.toml: windows.before: not a span of time: write "14d", "48h" or "2h30m"'
    )


@pytest.mark.parametrize("span", ["3651d", "99999999999999d", "999999999d", "1d" + "9" * 30 + "h"])
def test_a_span_beyond_all_reason_is_refused(span: str) -> None:
    (line,) = faults_of(windows={"lateness": span})

    assert line.startswith("policy.toml: windows.lateness: longer than 3650d")


@pytest.mark.parametrize(
    ("second", "conflict"),
    [
        (an_entry(), True),
        (an_entry(since=date(2026, 3, 7), until=date(2026, 4, 1)), True),
        (an_entry(since=date(2026, 3, 8), until=date(2026, 4, 1)), False),
        (an_entry(since=date(2026, 2, 1), until=date(2026, 3, 1)), False),
        (an_entry(account=DANA.upper()), True),
        (an_entry(account="eve@example.org"), False),
        (an_entry(tenants=[TENANT]), True),
        (an_entry(reasons=["user_risk", "risky_behavior"]), True),
        (an_entry(reasons=["risky_behavior"]), False),
        (a_partner_entry(), False),
    ],
)
def test_two_entries_that_could_take_the_same_reason_overlap(
    second: dict[str, object], *, conflict: bool
) -> None:
    allow = [an_entry(), {**second, "name": "CHG-2"}]

    if not conflict:
        assert len(allow_list(*allow)) == 2
        return
    assert faults_of(allow=allow) == [
        'policy.toml: allow: "CHG-1" and "CHG-2": overlap: join them or part their dates'
    ]


def test_entries_of_different_tenants_do_not_overlap() -> None:
    entries = allow_list(an_entry(tenants=[TENANT]), an_entry(name="CHG-2", tenants=[OTHER_TENANT]))

    assert len(entries) == 2


def test_two_entries_of_one_name_are_a_fault() -> None:
    faults = faults_of(allow=[an_entry(), an_entry(account="eve@example.org")])

    assert faults == ['policy.toml: allow: "CHG-1": two entries of that name: rename one']


def test_every_fault_is_said_at_once() -> None:
    faults = faults_of(
        machting="faithful",
        windows={"before": "soon"},
        allow=[
            an_entry(name="A"),
            an_entry(name="B", owner=None, until=None),
            an_entry(name="C"),
        ],
    )

    assert sorted(line.removeprefix("policy.toml: ").split(": ")[0] for line in faults) == [
        "allow",
        "allow.1.owner",
        "allow.1.until",
        "machting",
        "windows.before",
    ]


def test_a_file_that_is_not_there_is_named_with_its_setting(tmp_path: Path) -> None:
    path = tmp_path / "missing.toml"

    with pytest.raises(ConfigError) as caught:
        load_policy(path)

    assert str(caught.value) == (f"{path}: no such file or directory: check MASSWATCH_POLICY_FILE")


@pytest.mark.parametrize("content", [b"matching = ", b"a = 1\na = 2", b"\xff\xfe"])
def test_a_file_that_is_no_toml_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "policy.toml"
    path.write_bytes(content)

    with pytest.raises(ConfigError, match="not TOML"):
        load_policy(path)


def test_an_entry_holds_to_the_last_tick_before_until() -> None:
    (entry,) = allow_list(an_entry())

    assert entry.takes(Reason.USER_RISK, an_assignment(), shifted(entry.until, plus_ticks=-1))
    assert not entry.takes(Reason.USER_RISK, an_assignment(), entry.until)
