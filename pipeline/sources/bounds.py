"""Bounds on the texts of facts: one hostile record must not make an alert too large to publish."""

import hashlib
from dataclasses import fields, replace
from typing import Any, Final, TypeVar

from pipeline.core.evidence import GRAPH_PATH_THAT_COUNTS
from pipeline.core.model import Actor, App, Fact, GraphRequest

LONGEST: Final = 1024
"""Characters; Entra's longest UPN has 113, Defender's behavior ids 66."""

_BEFORE_THE_PATH: Final = 256

_Part = TypeVar("_Part", bound=Fact | Actor | App)


def bounded(part: _Part) -> _Part:
    """Return a fact in which every longer text is cut; different texts stay different.

    A cut text ends with a hash of the whole, so it equals another only if the whole texts are
    equal. Of a Graph request's URI the part around the path that counts is kept.
    """
    changed: dict[str, Any] = {}
    for field in fields(part):
        value: Any = getattr(part, field.name)
        if isinstance(value, str) and len(value) > LONGEST:
            is_uri = isinstance(part, GraphRequest) and field.name == "uri"
            changed[field.name] = _cut(value, _start_in(value) if is_uri else 0)
        elif isinstance(value, Actor | App):
            changed[field.name] = bounded(value)
    is_same = all(getattr(part, name) is value for name, value in changed.items())
    return part if is_same else replace(part, **changed)


def _start_in(uri: str) -> int:
    return max(0, uri.lower().find(GRAPH_PATH_THAT_COUNTS) - _BEFORE_THE_PATH)


def _cut(text: str, start: int) -> str:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{text[start : start + LONGEST - len(digest) - 1]}~{digest}"
