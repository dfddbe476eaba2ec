"""The policy file: TOML that a provider writes, checked all at once, turned into a policy."""

import contextlib
import re
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from pipeline.core.errors import ConfigError
from pipeline.core.evaluate import DISABLED
from pipeline.core.event_time import event_time_of
from pipeline.core.evidence import Matching
from pipeline.core.policy import AllowEntry, Policy, Reason, Severities, Severity, TenantPolicy
from pipeline.core.window import Window, Windows

_LONGEST: Final = timedelta(days=3650)
_SPAN: Final = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def _span(value: object) -> timedelta:
    form = _SPAN.fullmatch(value) if isinstance(value, str) and value else None
    if form is None:
        raise ValueError('not a span of time: write "14d", "48h" or "2h30m"')
    days, hours, minutes, seconds = (int(part or 0) for part in form.groups())
    try:
        span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError:
        span = timedelta.max
    if span > _LONGEST:
        raise ValueError(f"longer than {_LONGEST.days}d: facts are kept in memory that long")
    return span


def _moment(value: object) -> datetime:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    raise ValueError("not a date: write 2026-03-31 or 2026-03-31T12:00:00Z, without quotes")


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _without_twins(value: object) -> object:
    names = [str(name).lower() for name in value] if isinstance(value, dict) else []
    if twins := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"written twice, in two cases: {', '.join(twins)}: remove one")
    return value


Span = Annotated[timedelta, BeforeValidator(_span)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
LowerText = Annotated[str, BeforeValidator(_lower), Field(min_length=1)]
Text = Annotated[str, Field(min_length=1)]

_DEFAULT: Final = Windows()


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _WindowsPart(_Part):
    before: Span = _DEFAULT.evidence.before
    after: Span = _DEFAULT.evidence.after
    graph: Span = _DEFAULT.graph.before
    lateness: Span = _DEFAULT.lateness


class _SeverityPart(_Part):
    usual: Severity | None = None
    raised: Severity | None = None


class _TenantPart(_Part):
    severity: _SeverityPart = _SeverityPart()
    disabled_reasons: frozenset[Reason] | None = None


class _AllowPart(_Part):
    name: Text
    partner_tenant: LowerText | None = None
    account: LowerText | None = None
    tenants: frozenset[LowerText] = frozenset()
    reasons: Annotated[frozenset[Reason], Field(min_length=1)] | None = None
    owner: Text
    cause: Text
    since: Moment
    until: Moment

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if (self.partner_tenant is None) == (self.account is None):
            raise ValueError("name either partner_tenant or account")
        if self.partner_tenant is not None and self.reasons not in (None, _PARTNER_REASONS):
            raise ValueError('a partner entry takes "delegated_admin" away and nothing else')
        if self.account is not None and self.reasons is None:
            raise ValueError("reasons: an account entry says which it takes away")
        if self.name == DISABLED:
            raise ValueError(f'name: "{DISABLED}" stands for a disabled reason: take another')
        if self.until <= self.since:
            raise ValueError("until: not after since")
        return self

    def entry(self) -> AllowEntry:
        return AllowEntry(
            name=self.name,
            reasons=self.reasons or _PARTNER_REASONS,
            owner=self.owner,
            cause=self.cause,
            since=event_time_of(self.since),
            until=event_time_of(self.until),
            partner_tenant_id=self.partner_tenant or "",
            account=self.account or "",
            tenants=self.tenants,
        )


class _File(_Part):
    matching: Matching = Matching.REPAIRED
    windows: _WindowsPart = _WindowsPart()
    severity: _SeverityPart = _SeverityPart()
    disabled_reasons: frozenset[Reason] = frozenset()
    allow: tuple[_AllowPart, ...] = ()
    workspaces: Annotated[dict[LowerText, LowerText], BeforeValidator(_without_twins)] = {}
    tenants: Annotated[dict[LowerText, _TenantPart], BeforeValidator(_without_twins)] = {}


_PARTNER_REASONS: Final = frozenset({Reason.DELEGATED_ADMIN})


def load_policy(path: Path | None) -> Policy:
    """Read a policy file; without one, the defaults of the design hold.

    Raises:
        ConfigError: naming everything that is wrong in the file, a line each.
    """
    if path is None:
        return Policy()
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(
            f"{path}: {(error.strerror or str(error)).lower()}: check MASSWATCH_POLICY_FILE"
        ) from error
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, or beyond all measure
        raise ConfigError(f"{path}: not TOML: {error}") from error
    return replace(read_policy(content, str(path)), written=text)


def read_policy(content: dict[str, object], where: str) -> Policy:
    """Turn the content of a policy file into a policy.

    Raises:
        ConfigError: naming everything that is wrong, a line each, after `where`.
    """
    try:
        file = _File.model_validate(content)
    except ValidationError as error:
        faults = [f"{where}: {_place(fault['loc'])}: {_says(fault)}" for fault in error.errors()]
        faults += _conflicts(_readable_entries(content), where)
        raise ConfigError("\n".join(faults)) from None
    entries = tuple(one.entry() for one in file.allow)
    if conflicts := _conflicts(entries, where):
        raise ConfigError("\n".join(conflicts))
    severities = _severities(file.severity, Severities())
    return Policy(
        matching=file.matching,
        windows=Windows(
            evidence=Window(before=file.windows.before, after=file.windows.after),
            graph=Window(before=file.windows.graph, after=file.windows.graph),
            lateness=file.windows.lateness,
        ),
        everywhere=TenantPolicy(severities, file.disabled_reasons),
        tenants=MappingProxyType(
            {tenant: _tenant(part, severities, file) for tenant, part in file.tenants.items()}
        ),
        allow_list=entries,
        workspaces=MappingProxyType(dict(file.workspaces)),
    )


def _severities(part: _SeverityPart, otherwise: Severities) -> Severities:
    return Severities(part.usual or otherwise.usual, part.raised or otherwise.raised)


def _tenant(part: _TenantPart, severities: Severities, file: _File) -> TenantPolicy:
    disabled = file.disabled_reasons if part.disabled_reasons is None else part.disabled_reasons
    return TenantPolicy(_severities(part.severity, severities), disabled)


def _readable_entries(content: dict[str, object]) -> list[AllowEntry]:
    """Read those entries of a wrong file that are right in themselves: they may yet conflict."""
    allow = content.get("allow")
    entries = []
    for part in allow if isinstance(allow, list) else ():
        with contextlib.suppress(ValidationError):  # it has been named already
            entries.append(_AllowPart.model_validate(part).entry())
    return entries


def _conflicts(entries: Sequence[AllowEntry], where: str) -> list[str]:
    """Say which entries stand in each other's way: of two that overlap, which one decided?"""
    faults = []
    for one, other in combinations(entries, 2):
        if one.name == other.name:
            faults.append(f'{where}: allow: "{one.name}": two entries of that name: rename one')
        elif _overlap(one, other):
            faults.append(
                f'{where}: allow: "{one.name}" and "{other.name}": overlap: '
                "join them or part their dates"
            )
    return faults


def _overlap(one: AllowEntry, other: AllowEntry) -> bool:
    same = (one.partner_tenant_id, one.account) == (other.partner_tenant_id, other.account)
    tenants = not one.tenants or not other.tenants or bool(one.tenants & other.tenants)
    times = one.since < other.until and other.since < one.until
    return same and tenants and times and bool(one.reasons & other.reasons)


def _place(path: Sequence[int | str]) -> str:
    return ".".join(str(part) for part in path)


def _says(fault: ErrorDetails) -> str:
    match fault["type"]:
        case "extra_forbidden":
            return "no such key: see docker/policy.example.toml"
        case "missing":
            return "missing: every entry needs it"
        case _:
            text = fault["msg"].removeprefix("Value error, ")
            return text[:1].lower() + text[1:]
