"""GraphAPIAuditEvents and MicrosoftGraphActivityLogs: who called Microsoft Graph from where."""

from pipeline.core.event_time import EventTime
from pipeline.core.evidence import GRAPH_PATH_THAT_COUNTS, Matching, is_nothing
from pipeline.core.model import GraphRequest
from pipeline.sources.outcome import Decoded, Ignored, Malformed, Why
from pipeline.sources.reading import Row, first_text, object_id, text_of
from pipeline.sources.tenant import Owner


def decode_graph(
    row: Row, owner: Owner, event_time: EventTime | None, matching: Matching
) -> Decoded:
    """Decode a Graph request under the names of either table.

    Args:
        row: The columns, or the `properties` of a diagnostic record.
        owner: Whose it is.
        event_time: When it happened, as its form says; None when that cannot be read.
        matching: Repaired matching keeps the requests about apps only.
    """
    uri = text_of(row.get("requestUri")) or text_of(row.get("RequestUri"))
    if matching is Matching.REPAIRED and GRAPH_PATH_THAT_COUNTS not in uri.lower():
        return Ignored(Why.OTHER_REQUEST)
    client_request_id = text_of(row.get("clientRequestId")) or text_of(row.get("ClientRequestId"))
    if not client_request_id or (matching is Matching.REPAIRED and is_nothing(client_request_id)):
        return Ignored(Why.OTHER_REQUEST)
    if event_time is None:
        return Malformed("Timestamp: no readable event time")
    if not owner.tenant_id:
        return Malformed("tenantId: no tenant")
    return GraphRequest(
        tenant_id=owner.tenant_id,
        event_time=event_time,
        client_request_id=client_request_id,
        request_id=first_text(row, "requestId", "RequestId"),
        ip_address=first_text(row, "ipAddress", "IpAddress", "IPAddress", "callerIpAddress"),
        method=first_text(row, "requestMethod", "RequestMethod"),
        uri=uri,
        status=first_text(row, "responseStatusCode", "ResponseStatusCode"),
        user_id=object_id(row, "userId", "UserId", "AccountObjectId"),
        application_id=first_text(row, "appId", "AppId", "ApplicationId"),
    )
