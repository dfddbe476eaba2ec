"""Which facts belong together: the keys under which they meet, and the matching itself.

The keys do not depend on the policy and may bring too much together; `matches` then decides.
"""

from enum import StrEnum
from typing import Final, NamedTuple, assert_never

from pipeline.core.model import Assignment, Behavior, Evidence, Fact, GraphRequest, Risk
from pipeline.core.window import Window, Windows

BEHAVIORS_THAT_COUNT: Final = frozenset(
    {
        "ActivityFromInfrequentCountry",
        "ImpossibleTravelActivity",
        "SuspiciousAdministrativeActivity",
        "SuspiciousImpersonatedActivity",
        "UnusualAdditionOfCredentialsToAnOauthApp",
    }
)
"""The action types of the seed, spelled as Defender for Cloud Apps documents them."""

LEVELS_THAT_COUNT: Final = frozenset({"Medium", "High"})
GRAPH_PATH_THAT_COUNTS: Final = "deviceappmanagement"
NOBODY: Final = "00000000-0000-0000-0000-000000000000"
TEXTS_OF_NOTHING: Final = frozenset({"", "<null>", "none", "see actor details in properties"})
"""In lower case: what Intune and its neighbours write where nothing is known."""


class Matching(StrEnum):
    """How the actor of an assignment is compared with evidence."""

    REPAIRED = "repaired"
    FAITHFUL = "faithful"


class KeyKind(StrEnum):
    """What a key names."""

    IDENTITY = "i"
    OBJECT = "o"
    REQUEST = "r"


class Key(NamedTuple):
    """Where facts of one tenant meet; the text is in lower case."""

    kind: KeyKind
    text: str


def is_nothing(text: str) -> bool:
    """Tell whether a text stands for nothing known, in any case."""
    return text.lower() in TEXTS_OF_NOTHING


def keys_of(fact: Fact) -> frozenset[Key]:
    """Return every key under which a fact can meet another, in any matching."""
    texts: tuple[str, ...]
    match fact:
        case Assignment():
            texts, object_id = (fact.identity, fact.actor.upn), fact.actor.object_id
            request = fact.correlation_id
        case Risk():
            texts, object_id, request = (fact.upn, fact.account_upn), fact.object_id, ""
        case Behavior():
            texts, object_id, request = (fact.upn, fact.account_name), fact.object_id, ""
        case GraphRequest():
            texts, object_id, request = (), "", fact.client_request_id
        case _:
            assert_never(fact)
    keys = {Key(KeyKind.IDENTITY, text.lower()) for text in texts if text}
    if object_id:
        keys.add(Key(KeyKind.OBJECT, object_id))
    if request:
        keys.add(Key(KeyKind.REQUEST, request.lower()))
    return frozenset(keys)


def window_of(evidence: Evidence, windows: Windows) -> Window:
    """Return the window that applies to a kind of evidence."""
    return windows.graph if isinstance(evidence, GraphRequest) else windows.evidence


def matches(assignment: Assignment, evidence: Evidence, matching: Matching) -> bool:
    """Tell whether evidence is about this assignment's actor or request, time apart."""
    if assignment.tenant_id != evidence.tenant_id:
        return False
    if isinstance(evidence, GraphRequest):
        return _same_request(assignment, evidence, matching)
    match matching:
        case Matching.FAITHFUL:
            return _faithful(assignment, evidence)
        case Matching.REPAIRED:
            return _repaired(assignment, evidence)
        case _:
            assert_never(matching)


def _faithful(assignment: Assignment, evidence: Risk | Behavior) -> bool:
    if isinstance(evidence, Risk):
        joined, counts = evidence.account_upn, evidence.level in LEVELS_THAT_COUNT
    else:
        joined, counts = evidence.account_name, True
    return counts and joined != "" and joined == assignment.identity


def _repaired(assignment: Assignment, evidence: Risk | Behavior) -> bool:
    if evidence.object_id and evidence.object_id == assignment.actor.object_id:
        return True
    upn = evidence.upn.lower()
    return not is_nothing(upn) and upn in (
        assignment.identity.lower(),
        assignment.actor.upn.lower(),
    )


def _same_request(assignment: Assignment, graph: GraphRequest, matching: Matching) -> bool:
    ours, theirs = assignment.correlation_id, graph.client_request_id
    if matching is Matching.FAITHFUL:
        return ours != "" and ours == theirs
    if GRAPH_PATH_THAT_COUNTS not in graph.uri.lower() or is_nothing(ours):
        return False
    return ours.lower() == theirs.lower()
