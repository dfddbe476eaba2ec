"""Bounds on the texts of facts: one hostile record must not make an alert too large to publish."""

import hashlib
import json
import re
from dataclasses import fields, replace
from typing import Any, Final, TypeVar

from pipeline.core.evidence import GRAPH_PATH_THAT_COUNTS
from pipeline.core.model import Actor, App, Assignment, Behavior, Fact, GraphRequest, Risk

LONGEST: Final = 512
"""Bytes in the alert's JSON; Entra's longest UPN has 113 characters, Defender's behavior ids 66.

500 facts of each kind, each text that long, are then 5 MiB of the 8 MiB that an alert may have.
"""

_BEFORE_THE_PATH: Final = 128
_SHORTEST_CUT: Final = 65
"""Characters of the hash and what is before it; so many cannot take more than LONGEST bytes."""
_LOOKS_CUT: Final = re.compile(r"~[0-9a-f]{64}\Z")

_NAMES: Final[dict[type, tuple[str, ...]]] = {
    kind: tuple(field.name for field in fields(kind))
    for kind in (Actor, App, Assignment, Behavior, GraphRequest, Risk)
}
"""Asked of the classes each time, they would take longer than all else here."""

_Part = TypeVar("_Part", bound=Fact | Actor | App)


def bounded(part: _Part) -> _Part:
    """Return a fact in which every longer text is cut; different texts stay different.

    A cut text ends with a hash of the whole, so it equals another only if the whole texts are
    equal; a text that looks like a cut one is cut too, or an id could be made to be taken for
    another's. Of a Graph request's URI the part around the path that counts is kept.
    """
    changed: dict[str, Any] = {}
    for name in _NAMES[type(part)]:
        value: Any = getattr(part, name)
        if isinstance(value, str):
            if _must_be_cut(value):
                is_uri = isinstance(part, GraphRequest) and name == "uri"
                changed[name] = _cut(value, _start_in(value) if is_uri else 0)
        elif isinstance(value, Actor | App):
            changed[name] = bounded(value)
    is_same = all(getattr(part, name) is value for name, value in changed.items())
    return part if is_same else replace(part, **changed)


def _must_be_cut(text: str) -> bool:
    if len(text) < _SHORTEST_CUT:
        return False
    return _size(text) > LONGEST or _LOOKS_CUT.search(text) is not None


def _start_in(uri: str) -> int:
    return max(0, uri.lower().find(GRAPH_PATH_THAT_COUNTS) - _BEFORE_THE_PATH)


def _cut(text: str, start: int) -> str:
    digest = f"~{hashlib.sha256(text.encode()).hexdigest()}"
    kept = text[start : start + LONGEST - len(digest)]
    while _size(kept) > LONGEST - len(digest):
        kept = kept[: len(kept) * 3 // 4]
    return kept + digest


def _size(text: str) -> int:
    """Return how many bytes a text takes within JSON, without its quotes."""
    return len(json.dumps(text, ensure_ascii=False).encode()) - 2
