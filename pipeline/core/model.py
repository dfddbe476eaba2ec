"""What records tell us, decoded and normalised: the facts, and where they were seen."""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pipeline.core.event_time import EventTime


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a record lies: `topic[partition]@offset`, with `#index` inside a value of many."""

    topic: str
    partition: int
    offset: int
    index: int | None = None

    def __str__(self) -> str:
        index = "" if self.index is None else f"#{self.index}"
        return f"{self.topic}[{self.partition}]@{self.offset}{index}"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who made an assignment.

    Texts are as they came, but for texts of nothing, which are "". `object_id` and
    `partner_tenant_id` are in lower case, and "" when absent or all zero.
    """

    upn: str = ""
    object_id: str = ""
    is_delegated_admin: bool = False
    partner_tenant_id: str = ""
    application_id: str = ""
    application_name: str = ""


@dataclass(frozen=True, slots=True)
class App:
    """The app that was assigned; both may be ""."""

    name: str = ""
    object_id: str = ""


@dataclass(frozen=True, slots=True)
class AssignmentId:
    """One assignment in one tenant, whatever copies and variants of it exist."""

    tenant_id: str
    audit_event_id: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """One variant of an audit event that makes an app Required for everybody.

    `identity` and `correlation_id` are the columns as they came ("" when absent); `target_types`
    are sorted, without repeats.
    """

    tenant_id: str
    audit_event_id: str
    event_time: EventTime
    operation: str
    identity: str
    correlation_id: str
    target_types: tuple[str, ...]
    split_signals: bool
    actor: Actor = field(default_factory=Actor)
    app: App = field(default_factory=App)

    @property
    def id(self) -> AssignmentId:
        """The assignment that this is a variant of."""
        return AssignmentId(self.tenant_id, self.audit_event_id)


@dataclass(frozen=True, slots=True)
class Risk:
    """An IdentityInfo row that names a user of Medium or High risk.

    `upn` is whom the repaired matching takes it to be about, `account_upn` what the seed's join
    compares: the column AccountUpn of a row whose Type is User, else "". Texts are as they came.
    """

    tenant_id: str
    event_time: EventTime
    level: str
    upn: str = ""
    account_upn: str = ""
    object_id: str = ""


@dataclass(frozen=True, slots=True)
class Behavior:
    """A BehaviorEntities row of a user with one of the five action types.

    `upn` is whom the repaired matching takes it to be about, `account_name` (the column as it
    came) what the seed's join compares.
    """

    tenant_id: str
    event_time: EventTime
    behavior_id: str
    action_type: str
    upn: str = ""
    account_name: str = ""
    object_id: str = ""


@dataclass(frozen=True, slots=True)
class GraphRequest:
    """A request to Microsoft Graph: who called what from where. All texts but the id may be ""."""

    tenant_id: str
    event_time: EventTime
    client_request_id: str
    request_id: str = ""
    ip_address: str = ""
    method: str = ""
    uri: str = ""
    status: str = ""
    user_id: str = ""
    application_id: str = ""


Evidence = Risk | Behavior | GraphRequest
Fact = Assignment | Evidence


Fact_co = TypeVar("Fact_co", bound=Fact, covariant=True)


@dataclass(frozen=True)  # no slots: Python 3.11 cannot have them on a generic class
class Seen(Generic[Fact_co]):
    """A fact and the position at which it was first seen."""

    fact: Fact_co
    position: Position
