from pathlib import Path
from typing import Any

import pytest
from builders import MONDAY, OTHER_TENANT, TENANT, a_behavior, a_risk, an_assignment, shifted

from pipeline.backtest.expectations import (
    Checked,
    Expectation,
    check,
    load_expectations,
    read_expectations,
)
from pipeline.core.errors import ConfigError
from pipeline.core.evaluate import evaluate
from pipeline.core.policy import Policy, Reason, Severity
from pipeline.core.verdict import Verdict


def an_alert(
    event: str = "e1", *, tenant: str = TENANT, level: str = "Medium", later: int = 0
) -> Verdict:
    assignment = an_assignment(event_id=event, tenant=tenant, at=shifted(MONDAY, plus_ticks=later))
    return evaluate([assignment], [a_risk(tenant=tenant, level=level)], Policy())


def alerts(number: int) -> list[Verdict]:
    return [an_alert(f"e{one}", later=one) for one in range(1, number + 1)]


def said_of(expectation: Expectation, *of: Verdict) -> Checked:
    (checked,) = check([expectation], of)
    assert checked.expectation is expectation
    return checked


def read(*parts: dict[str, Any]) -> tuple[Expectation, ...]:
    return read_expectations({"expect": list(parts)}, "expected.toml")


def faults_of(content: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_expectations(content, "expected.toml")
    return str(caught.value).splitlines()


def test_a_file_says_how_many_alerts_there_must_be_and_which(tmp_path: Path) -> None:
    path = tmp_path / "expected.toml"
    path.write_text(
        '[[expect]]\nname = "partner rollouts"\n'
        f'tenant = "{TENANT.upper()}"\nreason = "delegated_admin"\nseverity = "medium"\n'
        'exactly = 3\n[[expect]]\nname = "one"\nevent = "E1"\nat_least = 1\n',
        encoding="utf-8",
    )

    assert load_expectations(path) == (
        Expectation(
            "partner rollouts", 3, 3, TENANT, Reason.DELEGATED_ADMIN, Severity.MEDIUM, None
        ),
        Expectation("one", 1, None, audit_event_id="E1"),
    )


@pytest.mark.parametrize(
    ("written", "at_least", "at_most", "text"),
    [
        ({"exactly": 3}, 3, 3, "exactly 3"),
        ({"exactly": 0}, 0, 0, "none"),
        ({"none": True}, 0, 0, "none"),
        ({"at_least": 2}, 2, None, "at least 2"),
        ({"at_most": 3}, 0, 3, "at most 3"),
        ({"at_most": 0}, 0, 0, "none"),
        ({"at_least": 2, "at_most": 3}, 2, 3, "2 to 3"),
        ({"at_least": 2, "at_most": 2}, 2, 2, "exactly 2"),
    ],
)
def test_a_number_is_written_in_several_ways(
    written: dict[str, Any], at_least: int, at_most: int | None, text: str
) -> None:
    (expectation,) = read({"name": "n", **written})

    assert (expectation.at_least, expectation.at_most) == (at_least, at_most)
    assert str(expectation) == text


@pytest.mark.parametrize(
    ("expectation", "holding"),
    [
        (Expectation("exactly", 2, 2), {2}),
        (Expectation("at least", 2), {2, 3, 4}),
        (Expectation("at most", 0, 2), {0, 1, 2}),
        (Expectation("between", 2, 3), {2, 3}),
        (Expectation("none", 0, 0), {0}),
    ],
)
def test_an_expectation_holds_for_as_many_as_it_says(
    expectation: Expectation, holding: set[int]
) -> None:
    fared = [said_of(expectation, *alerts(number)) for number in range(5)]

    assert [one.found for one in fared] == [0, 1, 2, 3, 4]
    assert {one.found for one in fared if one.holds} == holding


@pytest.mark.parametrize(
    "members",
    [
        {"tenant_id": OTHER_TENANT},
        {"reason": Reason.RISKY_BEHAVIOR},
        {"severity": Severity.MEDIUM},
        {"audit_event_id": "e2"},
    ],
)
def test_only_alerts_that_have_all_that_is_asked_count(members: dict[str, Any]) -> None:
    expectation = Expectation("none", **members)
    behavior = a_behavior(tenant=OTHER_TENANT)
    risk = a_risk(tenant=OTHER_TENANT, level="High")
    assignment = an_assignment(event_id="e2", tenant=OTHER_TENANT)
    it = evaluate([assignment], [behavior, risk], Policy())

    assert said_of(expectation, an_alert(), it).found == 1
    assert said_of(expectation, an_alert()).found == 0


def test_the_sentence_names_the_first_events_when_it_does_not_hold() -> None:
    at_most = Expectation("few", 0, 3)

    assert said_of(at_most, *alerts(3)).says == "expected at most 3, found 3"
    assert said_of(at_most, *reversed(alerts(5))).says == (
        "expected at most 3, found 5: e1, e2, e3, e4, e5"
    )
    assert said_of(at_most, *reversed(alerts(8))).says == (
        "expected at most 3, found 8: e1, e2, e3, e4, e5 and 3 more"
    )
    assert said_of(Expectation("some", 1)).says == "expected at least 1, found 0"


def test_every_fault_is_named_at_once() -> None:
    content = {
        "expects": [],
        "expect": [
            {"name": "a", "exactly": 1, "tenants": "x"},
            {"name": "a", "none": True, "at_most": 1},
            {"exactly": -1},
            {"name": "b", "at_least": 3, "at_most": 2},
            {"name": "", "reason": "risk", "exactly": 1},
            {"name": "c"},
        ],
    }

    how_many = "how many: write exactly, or at_least and at_most, or none = true"
    there_are = "name, tenant, reason, severity, event, exactly, at_least, at_most, none"
    reasons = "'user_risk', 'risky_behavior' or 'delegated_admin'"
    assert faults_of(content) == [
        f"expected.toml: expect.0.tenants: no such key: there are {there_are}",
        f"expected.toml: expect.1: {how_many}",
        "expected.toml: expect.2.name: missing: every expectation needs it",
        "expected.toml: expect.2.exactly: input should be greater than or equal to 0",
        "expected.toml: expect.3: at_least: more than at_most: no number is both",
        "expected.toml: expect.4.name: string should have at least 1 character",
        f"expected.toml: expect.4.reason: input should be {reasons}",
        f"expected.toml: expect.5: {how_many}",
        "expected.toml: expects: no such key: a file has [[expect]] and nothing else",
        'expected.toml: expect: "a": two expectations of that name: rename one',
    ]


@pytest.mark.parametrize(
    "number",
    [{"exactly": True}, {"exactly": 1.0}, {"exactly": "1"}, {"at_least": 0}, {"none": False}],
)
def test_a_number_that_is_none_or_proves_nothing_is_a_fault(number: dict[str, Any]) -> None:
    (place,) = number

    (fault,) = faults_of({"expect": [{"name": "n", **number}]})

    assert fault.startswith(f"expected.toml: expect.0.{place}: input should be ")


def test_two_right_expectations_of_one_name_are_a_fault() -> None:
    twins = [{"name": "a", "exactly": 1}, {"name": "a", "none": True}]

    assert faults_of({"expect": twins}) == [
        'expected.toml: expect: "a": two expectations of that name: rename one'
    ]


@pytest.mark.parametrize("content", [{}, {"expect": []}])
def test_a_file_without_expectations_is_a_fault(content: dict[str, Any]) -> None:
    assert faults_of(content) == [
        "expected.toml: expect: none there, which proves nothing: write an [[expect]]"
    ]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    absent, broken, bytes_ = (tmp_path / name for name in ("absent", "broken", "bytes"))
    broken.write_text("[[expect", encoding="utf-8")
    bytes_.write_bytes(b"\xff")

    with pytest.raises(ConfigError) as caught:
        load_expectations(absent)
    assert str(caught.value) == f"{absent}: no such file or directory: check --expect"
    for path in (broken, bytes_):
        with pytest.raises(ConfigError, match=f"^{path}: not TOML: "):
            load_expectations(path)
