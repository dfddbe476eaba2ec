import pytest
from builders import (
    ABSENT,
    APPS_URI,
    DANA_ID,
    MONDAY,
    NOBODY_ID,
    OTHER_TENANT,
    REQUEST,
    TENANT,
    JsonObject,
    activity_properties,
    activity_record,
    decoded,
    graph_row,
    hunting_record,
    owned,
    shifted,
)

from pipeline.core.evidence import Matching
from pipeline.core.model import GraphRequest
from pipeline.sources.outcome import Ignored, Malformed, Why

OTHER_REQUEST = Ignored(Why.OTHER_REQUEST)
FAITHFUL = Matching.FAITHFUL
WHOLE = GraphRequest(
    tenant_id=TENANT,
    event_time=MONDAY,
    client_request_id=REQUEST,
    request_id="4b7e90d1",
    ip_address="203.0.113.77",
    method="POST",
    uri=APPS_URI,
    status="201",
    user_id=DANA_ID,
    application_id="5926fc8e",
)


def the_request(document: object, matching: Matching = Matching.REPAIRED) -> GraphRequest:
    found = decoded(document, matching)
    assert isinstance(found, GraphRequest), found
    return found


def activity(**members: object) -> JsonObject:
    return activity_record(properties=activity_properties(**members))


@pytest.mark.parametrize("matching", Matching)
@pytest.mark.parametrize(
    "document",
    [
        activity_record(),
        hunting_record("GraphAPIAuditEvents", graph_row()),
        hunting_record("GraphApiAuditEvents", graph_row()),
        owned(graph_row()),
        owned(graph_row(IpAddress=ABSENT, IPAddress="203.0.113.77")),
    ],
)
def test_every_form_of_a_request_becomes_the_same_fact(
    document: JsonObject, matching: Matching
) -> None:
    assert the_request(document, matching) == WHOLE


def test_a_row_of_the_activity_table_in_log_analytics_becomes_it_too() -> None:
    row = {
        "TenantId": TENANT,
        "TimeGenerated": "2026-03-02T09:12:41.5530000Z",
        "ClientRequestId": REQUEST,
        "RequestId": "4b7e90d1",
        "IPAddress": "203.0.113.77",
        "RequestMethod": "POST",
        "RequestUri": APPS_URI,
        "ResponseStatusCode": 201,
        "UserId": DANA_ID,
        "AppId": "5926fc8e",
        "Type": "MicrosoftGraphActivityLogs",
    }

    assert the_request(row) == WHOLE


@pytest.mark.parametrize(
    "uri", ["https://graph.example.org/v1.0/users", "", None, ABSENT, "deviceApp", ["x"]]
)
def test_repaired_a_request_about_something_else_is_ignored_whatever_else_is_wrong(
    uri: object,
) -> None:
    record = activity_record(
        properties=activity_properties(requestUri=uri, timeGenerated=None),
        time=None,
        tenantId=ABSENT,
    )

    assert decoded(record) == OTHER_REQUEST


def test_repaired_the_path_counts_in_any_case() -> None:
    assert (
        the_request(activity(requestUri="/DEVICEAPPMANAGEMENT/x")).uri == "/DEVICEAPPMANAGEMENT/x"
    )


@pytest.mark.parametrize("uri", ["https://graph.example.org/v1.0/users", ""])
def test_faithful_a_request_about_anything_counts(uri: str) -> None:
    assert the_request(activity(requestUri=uri), FAITHFUL).uri == uri


@pytest.mark.parametrize("request_id", ["", None, ABSENT])
@pytest.mark.parametrize("matching", Matching)
def test_a_request_without_a_client_request_id_is_ignored(
    request_id: object, matching: Matching
) -> None:
    assert decoded(activity(clientRequestId=request_id), matching) == OTHER_REQUEST


@pytest.mark.parametrize("text", ["None", "<null>"])
def test_a_client_request_id_of_nothing_counts_in_the_faithful_matching_alone(text: str) -> None:
    record = activity(clientRequestId=text)

    assert decoded(record) == OTHER_REQUEST
    assert the_request(record, FAITHFUL).client_request_id == text


def test_the_envelopes_correlation_id_is_never_the_client_request_id() -> None:
    assert decoded(activity_record(correlationId=REQUEST)) == WHOLE
    assert decoded(activity(clientRequestId=None)) == OTHER_REQUEST


def test_the_envelopes_time_stands_in_for_a_missing_time_of_the_activity() -> None:
    for missing in (None, ABSENT, "", "yesterday"):
        record = activity_record(
            properties=activity_properties(timeGenerated=missing),
            time="2026-03-02T09:12:41.5530001Z",
        )

        assert the_request(record).event_time == shifted(MONDAY, plus_ticks=1)


def test_the_published_time_is_never_the_event_time_of_the_hunting_table() -> None:
    record = hunting_record("GraphAPIAuditEvents", graph_row(Timestamp=None))

    assert decoded(record) == Malformed("Timestamp: no readable event time")


def test_an_activity_without_any_time_is_a_dead_letter() -> None:
    record = activity_record(properties=activity_properties(timeGenerated=None), time="?")

    assert decoded(record) == Malformed("Timestamp: no readable event time")


def test_the_envelopes_tenant_wins_over_that_of_the_activity() -> None:
    record = activity_record(properties=activity_properties(tenantId=OTHER_TENANT))

    assert the_request(record).tenant_id == TENANT


def test_the_activitys_tenant_stands_in_for_a_missing_one() -> None:
    record = activity_record(
        properties=activity_properties(tenantId=OTHER_TENANT.upper()), tenantId=ABSENT
    )

    assert the_request(record).tenant_id == OTHER_TENANT


def test_a_request_without_a_tenant_is_a_dead_letter() -> None:
    assert decoded(activity_record(tenantId=ABSENT)) == Malformed("tenantId: no tenant")


def test_the_callers_address_stands_in_for_a_missing_one() -> None:
    assert the_request(activity(ipAddress=None)).ip_address == "203.0.113.78"
    assert the_request(activity(ipAddress="")).ip_address == "203.0.113.78"
    assert the_request(activity()).ip_address == "203.0.113.77"


def test_details_that_are_missing_are_empty() -> None:
    record = activity_record(
        callerIpAddress=None,
        properties={
            "timeGenerated": "2026-03-02T09:12:41.5530000Z",
            "clientRequestId": REQUEST,
            "requestUri": APPS_URI,
            "userId": NOBODY_ID,
        },
    )

    assert the_request(record) == GraphRequest(
        tenant_id=TENANT, event_time=MONDAY, client_request_id=REQUEST, uri=APPS_URI
    )
