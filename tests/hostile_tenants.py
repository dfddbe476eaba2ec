"""Histories of tenants with hostile ids, who share what facts join on and nothing else.

Every text of a record that its alert may carry, and joins on nothing, holds the mark of its tenant;
so does the fraction of every event time. What joins (UPN, object id, request id, audit event id) is
the same text for all of them, or texts made to be taken for each other.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple
from urllib.parse import quote

from builders import ALL_DEVICES, NOBODY_ID, REQUIRED, TENANT, JsonObject, a_target, value_of

from pipeline.core.event_time import EventTime
from pipeline.core.model import Risk
from pipeline.sources.bounds import LONGEST, bounded

MARK: Final = re.compile(rb"owner-([1-9])-|\.([1-9])\2{6}Z")
"""Finds whose bytes are in an alert: the mark of a tenant, or the fraction of its event times."""

_HALF: Final = re.compile("[\ud800-\udfff]")
_UNESCAPED: Final = json.JSONEncoder(ensure_ascii=False)
_NOTHING: Final = frozenset({"", "<null>", "none", "see actor details in properties"})

PLAIN: Final = ("contoso", TENANT, NOBODY_ID, "dana@example.org", "7", "a", "A", "none", "mw1")
ODD: Final = (
    *("", " ", "\t", "\r\n", "\x00", "\x1f", "\x7f", "\x85", "\u200b", "\u202e", "\ufeff"),
    *("/", "//", "|", ":", ",", ".", "..", "-", "=", "~", "@", "#", "%", "%2F", "%2f", "%25", "+"),
    *("*", "?", "[a-z]", "[^a]", "{a}", "}{", "^", "$", "(", "\\", "\\*", "\\u0041", "\\/"),
    *('"', "'", '","', '":"', "]", "[[", "null", "true", "0", "-1", "1e9", "é", "e\u0301", "中"),
    *("İ", "i\u0307", "I", "\u0131", "ß", "ss", "ẞ", "\u017f", "\u212a", "k", "Å", "\u212b", "ﬀ"),
    *("Σ", "ς", "\u03c3", "😀", "\ud83d", "\ude00", "\ud800", "\udfff", "\ufffd", "<null>", "None"),
    *("/i/", "/v/", "/e/", "x" * 127, "x" * 128, "x" * 129, "é" * 22, "*" * 700),
    *("x" * LONGEST, "x" * (LONGEST + 1)),
)


class Member(NamedTuple):
    """A tenant of a history, and what is expected of its alert."""

    number: int
    tenant: str
    upn: str
    object_id: str
    request_id: str
    event_id: str
    assigns: bool
    is_delegated: bool
    evidence: tuple[str, ...]

    @property
    def is_somebody(self) -> bool:
        """Whether its id says anything: else no record of it can be used."""
        return folded(self.tenant) not in _NOTHING

    @property
    def is_alerted(self) -> bool:
        """Whether an alert must follow from its own records."""
        return (
            self.assigns
            and self.is_somebody
            and (self.is_delegated or any(kind != "graph" for kind in self.evidence))
        )

    def mark(self, text: str = "") -> str:
        """Return a text that is this member's alone."""
        return f"owner-{self.number}-{text}"

    def time(self, second: int) -> str:
        """Return an event time that is this member's alone."""
        return f"2026-03-02T09:12:{second:02d}.{str(self.number) * 7}Z"


@dataclass(frozen=True)
class History:
    """Values of a source topic in any order, each with the numbers of whom its records tell."""

    members: tuple[Member, ...]
    values: tuple[tuple[bytes, tuple[int, ...]], ...]


def folded(tenant: str) -> str:
    """Return what is the same for all spellings of one tenant's id.

    Case does not count, and half a character is U+FFFD.
    """
    if _HALF.search(tenant):
        units = tenant.encode("utf-16-le", "surrogatepass")
        tenant = _HALF.sub("\ufffd", units.decode("utf-16-le", "surrogatepass"))
    return tenant.lower()


def a_text(dice: Random) -> str:
    """Return a hostile text."""
    drawn = dice.random()
    if drawn < 0.15:
        return dice.choice(PLAIN)
    if drawn < 0.5:
        return dice.choice(ODD)
    return "".join(dice.choice(ODD if dice.random() < 0.6 else PLAIN) for _ in range(3))


def akin_to(text: str, dice: Random) -> str:
    """Return a text that code may take for another."""
    return dice.choice(_AKIN)(text, dice.choice(ODD))


def _as_cut(text: str, _: str) -> str:
    return bounded(Risk(folded(text), EventTime(0), "")).tenant_id


def _as_hashed(text: str, _: str) -> str:
    return f"={hashlib.sha256(quote(text, '@', errors='surrogatepass').encode()).hexdigest()}"


_AKIN: Final[tuple[Callable[[str, str], str], ...]] = (
    lambda text, odd: text + odd,
    lambda text, odd: odd + text,
    lambda text, _: text[:-1],
    lambda text, _: text[1:],
    lambda text, _: text.upper(),
    lambda text, _: text.swapcase(),
    lambda text, _: quote(text, "@", errors="surrogatepass"),
    lambda text, _: unicodedata.normalize("NFD", text),
    lambda text, _: unicodedata.normalize("NFKC", text),
    lambda text, _: text.replace("/", "|").replace("=", "%3D").replace("@", "/"),
    lambda text, _: text * 2,
    lambda text, _: text * 60,
    _as_cut,
    _as_hashed,
)


def a_history(dice: Random) -> History:
    """Return a history of two to six tenants who share their actor, request and event."""
    members = _members(dice)
    records = [
        (_written(one, dice), by.number) for by in members for one in _records(by, members, dice)
    ]
    dice.shuffle(records)
    values, numbers = [value for value, _ in records], [number for _, number in records]
    if dice.random() < 0.2:
        whole = b'{"records":[' + b",".join(values) + b"]}"
        return History(members, ((whole, tuple(numbers)),))
    return History(
        members, tuple((value, (number,)) for value, number in zip(values, numbers, strict=True))
    )


def _members(dice: Random) -> tuple[Member, ...]:
    upn, object_id, request_id, event_id = (_somebody(a_text(dice)) for _ in range(4))
    tenants: dict[str, str] = {}
    wanted = dice.randint(2, 6)
    while len(tenants) < wanted:
        near = dice.choice([*tenants.values(), upn, event_id])
        tenant = a_text(dice) if dice.random() < 0.3 else akin_to(near, dice)
        tenants.setdefault(folded(tenant), tenant)
    events = {place: _shared(event_id, dice) for place in range(wanted)}
    if dice.random() < 0.1:
        # The same row of texts, cut into tenant and event at two places.
        first, middle, last, between = (a_text(dice) for _ in range(4))
        whole, events[0] = f"{first}{between}{middle}", _somebody(last)
        if folded(whole) != folded(first):
            tenants = {folded(whole): whole, folded(first): first}
            events[1] = _somebody(f"{middle}{between}{last}")
    return tuple(
        Member(
            number=place + 1,
            tenant=tenant,
            upn=_shared(upn, dice),
            object_id=_shared(object_id, dice),
            request_id=_shared(request_id, dice),
            event_id=events[place],
            assigns=dice.random() < 0.9,
            is_delegated=dice.random() < 0.4,
            evidence=tuple(
                dice.choices(("risk", "behavior", "graph"), k=dice.choice((0, 1, 1, 2)))
            ),
        )
        for place, tenant in enumerate(tenants.values())
    )


def _shared(text: str, dice: Random) -> str:
    return text if dice.random() < 0.8 else _somebody(akin_to(text, dice))


def _somebody(text: str) -> str:
    """Return a text that names somebody, so that facts which share it belong together."""
    is_nobody = folded(text) in _NOTHING or folded(text) == NOBODY_ID
    return f"{text}dana" if is_nobody else text


def _records(by: Member, members: Sequence[Member], dice: Random) -> Iterator[JsonObject]:
    stranger = dice.choice(members).tenant if by.is_somebody else by.tenant
    if by.assigns:
        yield _audit(by, stranger, dice)
    for second, kind in enumerate(by.evidence, start=1):
        yield _EVIDENCE[kind](by, stranger, second, dice)


def _audit(by: Member, stranger: str, dice: Random) -> JsonObject:
    properties: JsonObject = {
        "AuditEventId": by.event_id,
        "Actor": {
            "Application": by.mark("application"),
            "ApplicationName": by.mark("x" * 600) if dice.random() < 0.05 else by.mark("portal"),
            "IsDelegatedAdmin": by.is_delegated,
            "ObjectId": by.object_id,
            "PartnerTenantId": by.mark("partner"),
            "UPN": by.mark("@example.org"),
        },
        "TargetDisplayNames": [by.mark("app")],
        "TargetObjectIds": [by.mark("app-id")],
        "Targets": [a_target(ALL_DEVICES, REQUIRED, name=by.mark("target"))],
        "TenantId": stranger,
    }
    if dice.random() < 0.3:
        return {
            "TimeGenerated": by.time(0),
            "TenantId": by.tenant,
            "OperationName": "Create MobileAppAssignment",
            "Identity": by.upn,
            "CorrelationId": by.request_id,
            "ResultType": "Success",
            "Properties": json.dumps(properties),
        }
    return {
        "time": by.time(0),
        "tenantId": by.tenant,
        "category": "AuditLogs",
        "operationName": "Patch MobileAppAssignment",
        "properties": properties,
        "resultType": "Success",
        "correlationId": by.request_id,
        "identity": by.upn,
    }


def _risk(by: Member, stranger: str, second: int, dice: Random) -> JsonObject:
    by_object = dice.random() < 0.5
    row: JsonObject = {
        "Timestamp": by.time(second),
        "AccountUpn": by.mark("@example.org") if by_object else by.upn,
        "AccountObjectId": by.object_id if by_object else by.mark("object"),
        "RiskLevel": dice.choice(("High", "Medium", "high")),
        "Type": "User",
    }
    return _of_hunting("IdentityInfo", row, by, stranger, dice)


def _behavior(by: Member, stranger: str, second: int, dice: Random) -> JsonObject:
    by_object = dice.random() < 0.5
    row: JsonObject = {
        "Timestamp": by.time(second),
        "BehaviorId": by.mark("behavior"),
        "ActionType": "ImpossibleTravelActivity",
        "EntityType": "User",
        "AccountName": by.mark("name") if by_object else by.upn,
        "AccountUpn": None if by_object else by.upn,
        "AccountDomain": by.mark("example.org"),
        "AccountObjectId": by.object_id if by_object else by.mark("object"),
    }
    return _of_hunting("BehaviorEntities", row, by, stranger, dice)


def _graph(by: Member, stranger: str, second: int, dice: Random) -> JsonObject:
    row: JsonObject = {
        "Timestamp": by.time(second),
        "ClientRequestId": by.request_id,
        "RequestId": by.mark("request"),
        "IpAddress": by.mark("203.0.113.77"),
        "RequestMethod": by.mark("POST"),
        "RequestUri": by.mark("/beta/deviceAppManagement/mobileApps"),
        "ResponseStatusCode": by.mark("201"),
        "AccountObjectId": by.mark("object"),
        "ApplicationId": by.mark("application"),
    }
    return _of_hunting("GraphAPIAuditEvents", row, by, stranger, dice)


_EVIDENCE: Final = {"risk": _risk, "behavior": _behavior, "graph": _graph}


def _of_hunting(table: str, row: JsonObject, by: Member, stranger: str, dice: Random) -> JsonObject:
    """Write a row in one of its forms; the envelope's tenant wins over the row's."""
    drawn = dice.random()
    if drawn < 0.3:
        return {**row, "TenantId": by.tenant}
    record: JsonObject = {"time": "2026-03-02T11:00:00Z", "category": f"AdvancedHunting-{table}"}
    if drawn < 0.4:
        return {**record, "properties": {**row, "TenantId": by.tenant}}
    return {**record, "tenantId": by.tenant, "properties": {**row, "TenantId": stranger}}


def _written(record: JsonObject, dice: Random) -> bytes:
    if dice.random() < 0.5:
        return value_of(record)
    text = _UNESCAPED.encode(record)
    return text.encode() if _HALF.search(text) is None else value_of(record)
