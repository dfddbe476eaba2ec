"""The many ways in which one JSON document can be spelled, for tests of what must not differ."""

import json
from dataclasses import dataclass
from random import Random
from typing import Final

from builders import (
    ABSENT,
    DANA,
    DANA_ID,
    NOBODY_ID,
    OTHER_TENANT,
    REQUEST,
    TENANT,
    JsonObject,
    activity_properties,
    activity_record,
    actor_object,
    audit_properties,
    audit_record,
    audit_row,
    behavior_row,
    graph_row,
    hunting_record,
    identity_row,
    owned,
    sentinel_row,
)
from hypothesis import strategies as st

_MUST: Final = frozenset('"\\' + "".join(map(chr, range(0x20))))
_SHORT: Final = {'"': '\\"', "\\": "\\\\", "/": "\\/", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DOTNET: Final = "\"&'+<>`\x7f"
_BETWEEN: Final = ' \t\r\n:,"{}[]'

ALPHABETS: Final = (
    "",
    _DOTNET,
    _BETWEEN,
    '"\\',
    "u0",
    "0123456789",
    _LETTERS,
    "".join(map(chr, range(128))),
)
BLANKS: Final = ("", " ", "\n", "\t", "\r\n  ", " \t \n ")


@dataclass(frozen=True)
class Spelling:
    """How one level of JSON is written: what may be escaped, how often, with which blanks."""

    alphabet: str
    chance: float
    blank: str
    seed: int

    def write(self, value: object) -> str:
        """Write a document in this spelling."""
        return self._written(value, Random(self.seed))

    def _written(self, value: object, dice: Random) -> str:
        blank = self.blank if dice.random() < 0.9 else ""
        match value:
            case str():
                return '"' + "".join(self._letter(one, dice) for one in value) + '"'
            case dict():
                pairs = (
                    f"{blank}{self._written(name, dice)}{blank}:{blank}{self._written(of, dice)}"
                    for name, of in value.items()
                )
                return "{" + f"{blank},".join(pairs) + blank + "}"
            case list():
                return "[" + ",".join(blank + self._written(one, dice) for one in value) + "]"
            case _:
                return json.dumps(value)

    def _letter(self, letter: str, dice: Random) -> str:
        is_chosen = letter in self.alphabet and dice.random() < self.chance
        if not is_chosen and letter not in _MUST:
            return letter
        if not is_chosen and letter in _SHORT:
            return _SHORT[letter]
        if letter in _SHORT and dice.random() < 0.3:
            return _SHORT[letter]
        return f"\\u{ord(letter):04x}" if dice.random() < 0.5 else f"\\u{ord(letter):04X}"


spellings = st.builds(
    Spelling,
    alphabet=st.sampled_from(ALPHABETS),
    chance=st.sampled_from([0.05, 0.5, 1.0]),
    blank=st.sampled_from(BLANKS),
    seed=st.integers(0, 2**32),
)

_texts = st.sampled_from(
    [DANA, DANA.upper(), "dana.admin", "", "None", "<null>", "See Actor details in properties", "é"]
)
_odd = st.sampled_from([None, ABSENT, 5, True, [], {}, "text", ["High"], {"a": "b"}])
_ids = st.sampled_from([DANA_ID, DANA_ID.upper(), NOBODY_ID, "", None])
_tenants = st.sampled_from([TENANT, TENANT.upper(), OTHER_TENANT, "", None, ABSENT])
_times = st.sampled_from(
    ["2026-03-02T09:12:41.5530000Z", "2026-03-02T10:00:00+01:00", "3/2/2026 9:12:41 AM", None]
)
_levels = st.sampled_from(["High", "Medium", "high", "MEDIUM", "hIgH", "Low", None]) | _odd
_actions = st.sampled_from(
    ["ImpossibleTravelActivity", "SuspiciousAdministrativeActivity", "MassDownload"]
)
_uris = st.sampled_from(
    [
        "https://graph.example.org/beta/deviceAppManagement/mobileApps",
        "https://graph.example.org/beta/DEVICEAPPMANAGEMENT/mobileApps",
        "https://graph.example.org/beta/DeviceAppManagement/mobileApps",
        "https://graph.example.org/v1.0/users",
    ]
)
_requests = st.sampled_from([REQUEST, REQUEST.upper(), "None", "", None])
_operations = st.sampled_from(
    ["Create MobileAppAssignment", "Patch MobileAppAssignment", "Delete MobileAppAssignment"]
)


def _often(usual: object, other: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.one_of(st.just(usual), st.just(usual), other)


@st.composite
def wire_records(draw: st.DrawFn) -> tuple[JsonObject, str]:
    """Draw a record of any form, and the name of the member that may become JSON in a text."""
    time = draw(_often("2026-03-02T09:12:41.5530000Z", _times))
    tenant = draw(_often(TENANT, _tenants))
    row: JsonObject
    match draw(st.sampled_from([0, 1, 2, 3, 3, 3, 4, 5, 6, 7])):
        case 0 | 1:
            actor = actor_object(UPN=draw(_texts), IsDelegatedAdmin=draw(_often(True, _odd)))
            properties = audit_properties(
                Actor=draw(st.sampled_from([actor, json.dumps(actor)])),
                AuditEventId=draw(_often("event-1", _odd)),
            )
            record = audit_record(
                operationName=draw(_operations),
                properties=properties,
                time=time,
                tenantId=tenant,
                category=draw(st.sampled_from(["AuditLogs", "auditlogs", ABSENT, None])),
                identity=draw(_texts),
            )
            return record, "properties"
        case 2:
            row = audit_row(TenantId=tenant, TimeGenerated=time, Properties=audit_properties())
            return row, "Properties"
        case 3:
            row = identity_row(
                RiskLevel=draw(_often("High", _levels)),
                Timestamp=time,
                AccountUpn=draw(_texts),
                AccountObjectId=draw(_ids),
            )
            return _in_some_form(draw, "IdentityInfo", row, tenant)
        case 4:
            return sentinel_row(TenantId=tenant, RiskLevel=draw(_levels)), ""
        case 5:
            row = behavior_row(
                ActionType=draw(_often("ImpossibleTravelActivity", _actions)),
                AccountUpn=draw(_texts),
                Timestamp=time,
            )
            return _in_some_form(draw, "BehaviorEntities", row, tenant)
        case 6:
            row = graph_row(
                RequestUri=draw(_uris),
                ClientRequestId=draw(_often(REQUEST, _requests)),
                Timestamp=time,
            )
            return _in_some_form(draw, "GraphAPIAuditEvents", row, tenant)
        case _:
            properties = activity_properties(
                requestUri=draw(_uris),
                clientRequestId=draw(_often(REQUEST, _requests)),
                timeGenerated=time,
            )
            return activity_record(properties=properties, tenantId=tenant), "properties"


def _in_some_form(
    draw: st.DrawFn, table: str, row: JsonObject, tenant: object
) -> tuple[JsonObject, str]:
    if draw(st.booleans()):
        return owned({**row}, TENANT), ""
    category = draw(st.sampled_from([f"AdvancedHunting-{table}", ABSENT]))
    return hunting_record(table, row, category=category, tenantId=tenant), "properties"


@st.composite
def spelled_values(draw: st.DrawFn) -> tuple[JsonObject, bytes]:
    """Draw a record and one spelling of it, with its properties up to two texts deep."""
    record, wrapped = draw(wire_records())
    spelled = dict(record)
    if wrapped:
        for _ in range(draw(st.sampled_from([0, 1, 1, 2]))):
            spelled[wrapped] = draw(spellings).write(spelled[wrapped])
    return record, draw(spellings).write(spelled).encode()
