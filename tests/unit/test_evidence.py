import pytest
from builders import (
    DANA,
    DANA_ID,
    NOBODY_ID,
    OTHER_TENANT,
    REQUEST,
    a_behavior,
    a_graph_request,
    a_risk,
    an_assignment,
)

from pipeline.core.evidence import (
    Key,
    KeyKind,
    Matching,
    is_nothing,
    keys_of,
    matches,
    window_of,
)
from pipeline.core.model import Evidence, Fact
from pipeline.core.window import Windows

REPAIRED, FAITHFUL = Matching.REPAIRED, Matching.FAITHFUL
SENTINEL = "See Actor details in properties"


@pytest.mark.parametrize(
    "text", ["", "None", "none", "<null>", "<NULL>", SENTINEL, SENTINEL.upper()]
)
def test_a_text_of_nothing_is_nothing_in_any_case(text: str) -> None:
    assert is_nothing(text)


@pytest.mark.parametrize("text", [" ", "null", "nobody", "none@example.org", NOBODY_ID])
def test_any_other_text_is_something(text: str) -> None:
    assert not is_nothing(text)


@pytest.mark.parametrize("matching", Matching)
@pytest.mark.parametrize(
    "evidence",
    [
        a_risk(tenant=OTHER_TENANT, object_id=DANA_ID),
        a_behavior(tenant=OTHER_TENANT, account_name=DANA, object_id=DANA_ID),
        a_graph_request(tenant=OTHER_TENANT),
    ],
)
def test_nothing_matches_across_tenants(evidence: Evidence, matching: Matching) -> None:
    assert not matches(an_assignment(), evidence, matching)


@pytest.mark.parametrize("evidence", [a_risk(upn=DANA.upper()), a_behavior(upn=DANA.lower())])
def test_repaired_a_upn_matches_the_identity_in_any_case(evidence: Evidence) -> None:
    assert matches(an_assignment(upn="", object_id=""), evidence, REPAIRED)


@pytest.mark.parametrize("evidence", [a_risk(upn=DANA.upper()), a_behavior(upn=DANA.lower())])
def test_repaired_a_upn_matches_the_actor_whose_identity_is_a_sentinel(evidence: Evidence) -> None:
    assignment = an_assignment(identity=SENTINEL, upn=DANA, object_id="")

    assert matches(assignment, evidence, REPAIRED)


@pytest.mark.parametrize(
    "evidence",
    [
        a_risk(upn="", object_id=DANA_ID),
        a_behavior(upn="", account_name="", object_id=DANA_ID),
        a_risk(upn="renamed@example.org", object_id=DANA_ID),
    ],
)
def test_repaired_an_object_id_matches_whatever_the_upn_says(evidence: Evidence) -> None:
    assert matches(an_assignment(), evidence, REPAIRED)


def test_repaired_no_object_id_is_not_the_same_as_no_object_id() -> None:
    assignment = an_assignment(identity="", upn="", object_id="")

    assert not matches(assignment, a_risk(upn="other@example.org"), REPAIRED)
    assert not matches(assignment, a_risk(upn="", object_id=""), REPAIRED)


@pytest.mark.parametrize("text", ["", "None", "<null>", SENTINEL])
def test_repaired_a_text_of_nothing_matches_nobody(text: str) -> None:
    assignment = an_assignment(identity=text, upn="", object_id="")

    assert not matches(assignment, a_risk(upn=text), REPAIRED)
    assert not matches(assignment, a_behavior(upn=text), REPAIRED)


def test_repaired_the_short_account_name_alone_matches_nobody() -> None:
    evidence = a_behavior(upn="", account_name=DANA)

    assert not matches(an_assignment(), evidence, REPAIRED)


def test_repaired_levels_count_in_any_case() -> None:
    assert matches(an_assignment(), a_risk(level="hIGH"), REPAIRED)


def test_faithful_risk_joins_identity_with_account_upn() -> None:
    assert matches(an_assignment(), a_risk(upn="", account_upn=DANA), FAITHFUL)


def test_faithful_behavior_joins_identity_with_account_name() -> None:
    assert matches(an_assignment(), a_behavior(upn="", account_name=DANA), FAITHFUL)


@pytest.mark.parametrize(
    "evidence",
    [
        a_risk(account_upn=DANA.lower()),
        a_behavior(account_name=DANA.lower()),
        a_risk(upn=DANA, account_upn="", object_id=DANA_ID),
        a_behavior(upn=DANA, account_name="dana.admin", object_id=DANA_ID),
    ],
)
def test_faithful_neither_case_nor_upn_nor_object_id_is_repaired(evidence: Evidence) -> None:
    assert not matches(an_assignment(), evidence, FAITHFUL)


def test_faithful_the_actors_own_upn_is_not_joined() -> None:
    assignment = an_assignment(identity=SENTINEL, upn=DANA)

    assert not matches(assignment, a_risk(), FAITHFUL)


@pytest.mark.parametrize(
    ("level", "counts"), [("Medium", True), ("High", True), ("high", False), ("MEDIUM", False)]
)
def test_faithful_only_the_exact_levels_count(level: str, *, counts: bool) -> None:
    assert matches(an_assignment(), a_risk(level=level), FAITHFUL) is counts


@pytest.mark.parametrize("text", ["None", "<null>", SENTINEL])
def test_faithful_a_text_of_nothing_joins_as_text(text: str) -> None:
    assignment = an_assignment(identity=text, correlation_id=text)

    assert matches(assignment, a_risk(account_upn=text), FAITHFUL)
    assert matches(assignment, a_behavior(account_name=text), FAITHFUL)
    assert matches(assignment, a_graph_request(client_request_id=text), FAITHFUL)


def test_faithful_an_empty_text_never_joins() -> None:
    assignment = an_assignment(identity="", correlation_id="")

    assert not matches(assignment, a_risk(account_upn=""), FAITHFUL)
    assert not matches(assignment, a_behavior(account_name=""), FAITHFUL)
    assert not matches(assignment, a_graph_request(client_request_id=""), FAITHFUL)


def test_repaired_request_ids_match_in_any_case() -> None:
    graph = a_graph_request(client_request_id=REQUEST.upper())

    assert matches(an_assignment(), graph, REPAIRED)


def test_faithful_request_ids_match_exactly() -> None:
    assert matches(an_assignment(), a_graph_request(), FAITHFUL)
    assert not matches(
        an_assignment(), a_graph_request(client_request_id=REQUEST.upper()), FAITHFUL
    )


def test_repaired_only_requests_about_apps_count() -> None:
    elsewhere = a_graph_request(uri="https://graph.example.org/v1.0/users")
    shouted = a_graph_request(uri="HTTPS://GRAPH.EXAMPLE.ORG/DEVICEAPPMANAGEMENT/MOBILEAPPS")

    assert not matches(an_assignment(), elsewhere, REPAIRED)
    assert matches(an_assignment(), shouted, REPAIRED)


def test_faithful_requests_about_anything_count() -> None:
    assert matches(an_assignment(), a_graph_request(uri=""), FAITHFUL)


@pytest.mark.parametrize("text", ["", "None", "<null>"])
def test_repaired_a_correlation_id_of_nothing_matches_no_request(text: str) -> None:
    graph = a_graph_request(client_request_id=text)

    assert not matches(an_assignment(correlation_id=text), graph, REPAIRED)


def test_graph_requests_have_a_window_of_their_own() -> None:
    windows = Windows()

    assert window_of(a_graph_request(), windows) is windows.graph
    assert window_of(a_risk(), windows) is windows.evidence
    assert window_of(a_behavior(), windows) is windows.evidence


@pytest.mark.parametrize(
    ("fact", "keys"),
    [
        (
            an_assignment(identity="Dana@Example.org", upn="D@example.org", correlation_id="R1"),
            {
                Key(KeyKind.IDENTITY, "dana@example.org"),
                Key(KeyKind.IDENTITY, "d@example.org"),
                Key(KeyKind.OBJECT, DANA_ID),
                Key(KeyKind.REQUEST, "r1"),
            },
        ),
        (an_assignment(identity="", upn="", object_id="", correlation_id=""), set()),
        (
            a_risk(upn="A", account_upn="B", object_id=DANA_ID),
            {
                Key(KeyKind.IDENTITY, "a"),
                Key(KeyKind.IDENTITY, "b"),
                Key(KeyKind.OBJECT, DANA_ID),
            },
        ),
        (a_risk(upn="", account_upn=""), set()),
        (
            a_behavior(upn="A", account_name="B", object_id=DANA_ID),
            {
                Key(KeyKind.IDENTITY, "a"),
                Key(KeyKind.IDENTITY, "b"),
                Key(KeyKind.OBJECT, DANA_ID),
            },
        ),
        (a_graph_request(client_request_id="R1"), {Key(KeyKind.REQUEST, "r1")}),
    ],
)
def test_a_fact_is_kept_under_every_name_it_can_be_met_by(fact: Fact, keys: set[Key]) -> None:
    assert keys_of(fact) == keys
