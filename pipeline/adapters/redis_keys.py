"""How Redis keys are named, so that no tenant id and no text can take another's key.

    <namespace>/e/<tenant>/<kind>/<text>/<bucket>   evidence under a key, by event time
    <namespace>/a/<tenant>/<kind>/<text>/<bucket>   index of assignments under a key, likewise
    <namespace>/v/<tenant>/<audit event id>         variants of one assignment
    <namespace>/l/<tenant>/<kind>                   event time of the latest evidence of a kind

Tenants and texts are percent-encoded: no separator, brace (hash tag of Redis Cluster), blank or
glob of theirs gets through. One that is long then is hashed, with `=` before it, which the
encoding never leaves alone. The namespace comes from the operator and is checked.

A bucket is eight days of event time, whatever the policy is. A window of 16 days needs three of
them; days would need 17, and facts expire by when they were written, not by their event time.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote

from pipeline.adapters.text_packing import ENCODING, ERRORS
from pipeline.core.errors import ConfigError
from pipeline.core.event_time import EventTime, ticks
from pipeline.core.evidence import Key
from pipeline.core.model import AssignmentId

BUCKET_WIDTH: Final = ticks(timedelta(days=8))

_LONGEST: Final = 128
_HASHED: Final = "="
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9._:-]+")


def bucket_of(event_time: EventTime) -> int:
    """Return the bucket in which an event time lies; times before 1970 have negative ones."""
    return event_time // BUCKET_WIDTH


@dataclass(frozen=True, slots=True)
class Names:
    """The names of all keys in one namespace.

    Raises:
        ConfigError: the namespace holds what could be mistaken for another's, or for a pattern.
    """

    namespace: str

    def __post_init__(self) -> None:
        if not _NAMESPACE.fullmatch(self.namespace):
            raise ConfigError(
                f"redis namespace: {self.namespace!r} has other characters than letters, digits "
                "and ._:- : rename it"
            )

    def evidence(self, tenant_id: str, key: Key, bucket: int) -> str:
        """Name the hash of evidence under a key."""
        return self._under("e", tenant_id, key, bucket)

    def index(self, tenant_id: str, key: Key, bucket: int) -> str:
        """Name the set of assignments under a key."""
        return self._under("a", tenant_id, key, bucket)

    def variants(self, of: AssignmentId) -> str:
        """Name the hash of an assignment's variants."""
        return f"{self.namespace}/v/{_encoded(of.tenant_id)}/{_encoded(of.audit_event_id)}"

    def latest(self, tenant_id: str, kind: str) -> str:
        """Name the event time of a tenant's latest evidence of a kind."""
        return f"{self.namespace}/l/{_encoded(tenant_id)}/{kind}"

    @property
    def all_variants(self) -> str:
        """The pattern that the names of all variants match, and no others."""
        return f"{self.namespace}/v/*"

    def assignment_of(self, name: str) -> AssignmentId | None:
        """Return the assignment whose variants have that name; None when it is hashed."""
        tenant_id, audit_event_id = name.removeprefix(f"{self.namespace}/v/").split("/")
        if tenant_id.startswith(_HASHED) or audit_event_id.startswith(_HASHED):
            return None
        return AssignmentId(
            unquote(tenant_id, ENCODING, ERRORS), unquote(audit_event_id, ENCODING, ERRORS)
        )

    def _under(self, role: str, tenant_id: str, key: Key, bucket: int) -> str:
        place = f"{_encoded(tenant_id)}/{key.kind}/{_encoded(key.text)}"
        return f"{self.namespace}/{role}/{place}/{bucket}"


@lru_cache(maxsize=16_384)  # a tenant or an account stands in many names
def _encoded(text: str) -> str:
    encoded = quote(text, "@", ENCODING, ERRORS)
    if len(encoded) <= _LONGEST:
        return encoded
    return _HASHED + hashlib.sha256(encoded.encode()).hexdigest()
