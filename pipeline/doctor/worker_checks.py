"""What workers say of themselves over HTTP."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException, InvalidURL
from typing import Final

from pipeline.doctor.finding import Area, Finding, Level, ok, unchecked

_WITHIN: Final = 2.0
_AT_MOST: Final = 1024 * 1024
_UNAVAILABLE: Final = 503
"""What a worker answers while something is wrong."""
# A proxy that the environment names is for the world outside.
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_POLICY: Final = re.compile(r'^masswatch_policy_info\{digest="([^"]*)"\} 1', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class WorkerStanding:
    """What a worker said.

    `stuck` and `waiting` are the faults of /healthz and /readyz; `policy` is the digest of the
    policy that it follows; `silence` says why there was no answer.
    """

    url: str
    stuck: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    policy: str | None = None
    silence: str | None = None


def look_at_worker(url: str) -> WorkerStanding:
    """Ask a worker how it is; blocks for a few seconds at most.

    Args:
        url: Where it listens: http://host:port.
    """
    base = url.rstrip("/")
    try:
        stuck, waiting = _faults(f"{base}/healthz"), _faults(f"{base}/readyz")
        policy = _POLICY.search(_read(f"{base}/metrics"))
    except OSError as error:
        reason = getattr(error, "reason", error)
        return WorkerStanding(url, silence=str(reason).lower())
    except (InvalidURL, UnicodeError) as error:
        return WorkerStanding(url, silence=f"not an address of HTTP: {error}")
    except (HTTPException, ValueError):
        return WorkerStanding(url, silence="something else answers there")
    return WorkerStanding(url, stuck, waiting, None if policy is None else policy[1])


def on_worker(found: WorkerStanding, policy: str | None, *, is_named: bool) -> Iterator[Finding]:
    """Judge what a worker said.

    Args:
        found: What it said.
        policy: The digest of the policy file; None: it could not be read.
        is_named: Whether the operator asked for this worker, or we tried where one might be.
    """
    if found.silence is not None:
        if is_named:
            yield Finding(
                Level.FAULT,
                Area.WORKER,
                found.url,
                found.silence,
                "start it, or correct the address",
            )
        else:
            yield unchecked(
                Area.WORKER, found.url, found.silence, "name workers: --worker http://host:port"
            )
        return
    for fault in found.stuck:
        yield Finding(
            Level.FAULT, Area.WORKER, found.url, fault, "it ends by itself; start it again"
        )
    for fault in found.waiting:
        yield Finding(
            Level.WARNING, Area.WORKER, found.url, f"not ready: {fault}", "see its log for why"
        )
    if policy is not None and found.policy is not None and found.policy != policy:
        yield Finding(
            Level.WARNING,
            Area.WORKER,
            found.url,
            f"follows policy {found.policy}, the file is {policy}",
            "send it SIGHUP; see masswatch policy check",
        )
    if not found.stuck and not found.waiting:
        yield ok(Area.WORKER, found.url, "alive and ready")


def _faults(url: str) -> tuple[str, ...]:
    match json.loads(_read(url)):
        case {"faults": list(faults)}:
            return tuple(map(str, faults))
        case _:
            raise ValueError(f"{url}: not the answer of a worker")


def _read(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise InvalidURL("it begins neither with http:// nor with https://")
    try:
        with _OPENER.open(url, timeout=_WITHIN) as answer:
            return str(answer.read(_AT_MOST).decode(errors="replace"))
    except urllib.error.HTTPError as error:
        with error:
            if error.code != _UNAVAILABLE:
                raise ValueError(f"{url}: answers {error.code}") from error
            return error.read(_AT_MOST).decode(errors="replace")
