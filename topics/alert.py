"""The alert as `masswatch.alerts.v1` carries it: what an analyst or a program downstream reads."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

EventTimeText = str
"""An ISO 8601 time in UTC with seven digits of fraction: `2026-03-04T09:12:41.5530000Z`."""


class _Published(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_serialization_defaults_required=True
    )


class Detection(_Published):
    """Which detection speaks."""

    id: str
    version: str
    title: str
    techniques: tuple[str, ...] = Field(description="MITRE ATT&CK technique ids")


class Actor(_Published):
    """Who made the assignment; empty texts where the source says nothing."""

    upn: str
    identity: str = Field(description="the audit event's own column, as it came")
    object_id: str = Field(description="Entra object id, in lower case")
    is_delegated_admin: bool
    partner_tenant_id: str
    application: str = Field(description="name of the client application, else its id")


class App(_Published):
    """What was assigned."""

    name: str
    object_id: str


class AssignmentDetails(_Published):
    """What was done."""

    operation: str
    target_types: tuple[str, ...]
    app: App
    split_signals: bool = Field(
        description="Intent and Target.Type came from two targets of the event, as in the seed"
    )
    correlation_id: str


class RiskEvidence(_Published):
    """An IdentityInfo row of Medium or High risk."""

    fact_id: str
    level: str
    time: EventTimeText
    upn: str
    account_upn: str
    object_id: str


class BehaviorEvidence(_Published):
    """A BehaviorEntities row of the actor."""

    fact_id: str
    behavior_id: str
    action_type: str
    time: EventTimeText
    upn: str
    account_name: str
    object_id: str


class GraphEvidence(_Published):
    """A request to Microsoft Graph with the assignment's correlation id."""

    fact_id: str
    time: EventTimeText
    client_request_id: str
    request_id: str
    ip_address: str
    method: str
    uri: str
    status: str
    user_id: str
    application_id: str


class Evidence(_Published):
    """All that counts, the latest first, at most 500 a kind."""

    risk: tuple[RiskEvidence, ...]
    behaviors: tuple[BehaviorEvidence, ...]
    graph: tuple[GraphEvidence, ...]


class Withheld(_Published):
    """A reason that held and does not count, and the policy entry that took it away."""

    reason: Literal["user_risk", "risky_behavior", "delegated_admin"]
    entry: str


class Source(_Published):
    """Where the assignment or a piece of evidence was first seen."""

    fact: Literal["assignment", "risk", "behavior", "graph"]
    fact_id: str
    topic: str
    partition: int
    offset: int
    index: int | None = Field(description="place in an envelope's records; null: the value is it")


class SourceFreshness(_Published):
    """How far one source of evidence was known; null: not known.

    No time here is proof that evidence is missing or complete: a record may be written into its
    topic hours after its event time. They say where to be careful when nothing was found.
    """

    read_to: EventTimeText | None = Field(
        description="what was appended to the source's topics before this time, of any tenant, "
        "had been taken into account, by the clock of Redis: long before detected_at, the pipeline "
        "is behind; stands still while the pipeline catches up without a pause",
    )
    last_record_at: EventTimeText | None = Field(
        description="when a record of the source was last read, of any tenant and content, by the "
        "clock of Redis: long before detected_at, the source is quiet",
    )
    latest_fact_time: EventTimeText | None = Field(
        description="event time of this tenant's latest row that could be evidence, whoever it is "
        "about: the tenant was heard at least until then; rows that never count, such as users "
        "without risk, are not seen by tenant, so that an old one, or null, may be a quiet tenant; "
        "null, too, when that row claims to be of the future",
    )


class Freshness(_Published):
    """How far the sources of evidence were known when the revision was made."""

    identity_info: SourceFreshness
    behavior_entities: SourceFreshness
    graph_activity: SourceFreshness

    @classmethod
    def unknown(cls) -> Self:
        """Return what alerts say that were written before they said this."""
        nothing = SourceFreshness(read_to=None, last_record_at=None, latest_fact_time=None)
        return cls(identity_info=nothing, behavior_entities=nothing, graph_activity=nothing)


class Alert(_Published):
    """One revision of an alert. The last one under an `alert_id` holds."""

    alert_id: str
    revision: int = Field(ge=1)
    status: Literal["active", "withdrawn"]
    tenant_id: str
    audit_event_id: str
    detection: Detection
    severity: Literal["informational", "low", "medium", "high"]
    reasons: tuple[Literal["user_risk", "risky_behavior", "delegated_admin"], ...]
    withheld: tuple[Withheld, ...]
    event_time: EventTimeText = Field(description="of the assignment; the earliest of its copies")
    detected_at: EventTimeText = Field(description="when this revision was made")
    actor: Actor
    assignment: AssignmentDetails
    evidence: Evidence
    evidence_truncated: bool
    ip_addresses: tuple[str, ...]
    recommended_actions: tuple[str, ...]
    sources: tuple[Source, ...]
    freshness: Freshness = Field(
        default_factory=Freshness.unknown,
        description="of the sources of evidence, when this revision was made; a source that has "
        "gone on since makes no new revision",
    )
    digest: str = Field(description="hash of what the alert says, without what depends on arrival")
