"""Records that would matter and cannot be read, each with the reason of its dead letter."""

from collections.abc import Callable
from random import Random
from typing import Final

import orjson

from pipeline.core.event_time import EventTime
from pipeline.simulate.audit_records import Form
from pipeline.simulate.defender_records import (
    BehaviorRow,
    IdentityRow,
    Shape,
    account_of,
    behavior_id,
    behavior_record,
    identity_record,
    short_account_of,
)
from pipeline.simulate.delivery import Delivery, Kind
from pipeline.simulate.dice import guid
from pipeline.simulate.envelopes import envelope
from pipeline.simulate.graph_records import GRAPH, GraphCall, GraphShape, graph_record
from pipeline.simulate.planting import Act, Planting
from pipeline.simulate.tenants import Tenant

JsonObject = dict[str, object]
Spoiling = Callable[[Random, Tenant, EventTime], Delivery]

NOT_JSON: Final = "not JSON"
NO_PROPERTIES: Final = "properties cannot be read"
NO_TIME: Final = "no readable event time"
NO_TENANT: Final = "no tenant"


def spoiled(chance: Random, tenant: Tenant, time: EventTime) -> Delivery:
    """Return a spoiled record of some table of that tenant."""
    spoil = chance.choice(SPOILINGS)
    return spoil(chance, tenant, time)


def _cut_properties(chance: Random, tenant: Tenant, time: EventTime) -> Delivery:
    record = _assignment(chance, tenant, time)
    record["properties"] = orjson.dumps(record["properties"]).decode()[:-2]
    return _audit(tenant, time, record, NO_PROPERTIES)


def _assignment_without_time(chance: Random, tenant: Tenant, time: EventTime) -> Delivery:
    return _audit(tenant, time, {**_assignment(chance, tenant, time), "time": "soon"}, NO_TIME)


def _assignment_without_tenant(chance: Random, tenant: Tenant, time: EventTime) -> Delivery:
    record = _assignment(chance, tenant, time)
    del record["tenantId"]
    return _audit(tenant, time, record, NO_TENANT)


def _cut_value(chance: Random, tenant: Tenant, time: EventTime) -> Delivery:
    data = envelope([orjson.dumps(_assignment(chance, tenant, time))])
    return Delivery(time, tenant.id, Kind.AUDIT, data[:-2], fault=NOT_JSON, alone=True)


def _risk_without_time(chance: Random, tenant: Tenant, time: EventTime) -> Delivery:
    row = IdentityRow(tenant.id, time, account_of(chance.choice(tenant.users)), "High")
    record: JsonObject = orjson.loads(identity_record(row, Shape.STREAMED, chance))
    record["properties"] = _without(record["properties"], "Timestamp")
    data = orjson.dumps(record)
    return Delivery(time, tenant.id, Kind.IDENTITY_INFO, data, fault=NO_TIME)


def _risk_without_tenant(chance: Random, tenant: Tenant, time: EventTime) -> Delivery:
    row = IdentityRow(tenant.id, time, account_of(chance.choice(tenant.users)), "Medium")
    record = orjson.loads(identity_record(row, Shape.BARE, chance))
    data = orjson.dumps(_without(record, "TenantId"))
    return Delivery(time, tenant.id, Kind.IDENTITY_INFO, data, fault=NO_TENANT, alone=True)


def _behavior_cut(chance: Random, tenant: Tenant, time: EventTime) -> Delivery:
    account = short_account_of(chance.choice(tenant.users))
    action = "ImpossibleTravelActivity"
    row = BehaviorRow(tenant.id, time, behavior_id(chance), action, account)
    record: JsonObject = orjson.loads(behavior_record(row, Shape.STREAMED_TEXT))
    record["properties"] = str(record["properties"])[:-1]
    data = orjson.dumps(record)
    return Delivery(time, tenant.id, Kind.BEHAVIOR_ENTITIES, data, fault=NO_PROPERTIES)


def _request_without_time(chance: Random, tenant: Tenant, time: EventTime) -> Delivery:
    call = GraphCall(
        tenant_id=tenant.id,
        time=time,
        client_request_id=guid(chance),
        request_id=guid(chance),
        ip_address="192.0.2.1",
        method="POST",
        uri=f"{GRAPH}/deviceAppManagement/mobileApps/{guid(chance)}/assign",
        user_id=chance.choice(tenant.admins).object_id,
    )
    record: JsonObject = orjson.loads(graph_record(call, GraphShape.HUNTING_ROW))
    data = orjson.dumps({**record, "Timestamp": "2026-13-45T99:00:00Z"})
    return Delivery(time, tenant.id, Kind.GRAPH_ACTIVITY, data, fault=NO_TIME)


SPOILINGS: Final[tuple[Spoiling, ...]] = (
    *(_cut_properties, _assignment_without_time, _assignment_without_tenant, _cut_value),
    *(_risk_without_time, _risk_without_tenant, _behavior_cut, _request_without_time),
)


def _assignment(chance: Random, tenant: Tenant, time: EventTime) -> JsonObject:
    draft = Planting(chance)
    draft.assign(tenant, draft.newcomer(tenant.domain), time, Act(form=Form.OBJECT))
    record: JsonObject = orjson.loads(draft.deliveries[0].record)
    return record


def _audit(tenant: Tenant, time: EventTime, record: JsonObject, fault: str) -> Delivery:
    return Delivery(time, tenant.id, Kind.AUDIT, orjson.dumps(record), fault=fault)


def _without(columns: object, name: str) -> JsonObject:
    if not isinstance(columns, dict):
        raise TypeError(f"{name}: not an object: {type(columns).__name__}")
    return {column: of for column, of in columns.items() if column != name}
