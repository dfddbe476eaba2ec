"""Expectations: what must come of a backtest, in a TOML file that CI keeps beside the policy."""

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from pipeline.core.errors import ConfigError
from pipeline.core.policy import Reason, Severity
from pipeline.core.verdict import Verdict

_LISTED_AT_MOST: Final = 5


@dataclass(frozen=True, slots=True)
class Expectation:
    """How many alerts of a kind there must be: from `at_least` to `at_most`; None is no bound.

    Of a kind are those that have everything that is set here; `tenant_id` is in lower case.
    """

    name: str
    at_least: int = 0
    at_most: int | None = None
    tenant_id: str | None = None
    reason: Reason | None = None
    severity: Severity | None = None
    audit_event_id: str | None = None

    def is_about(self, alert: Verdict) -> bool:
        """Tell whether an alert is of this kind."""
        return (
            self.tenant_id in (None, alert.assignment.tenant_id)
            and (self.reason is None or self.reason in alert.reasons)
            and self.severity in (None, alert.severity)
            and self.audit_event_id in (None, alert.assignment.audit_event_id)
        )

    def allows(self, found: int) -> bool:
        """Tell whether so many are as many as there must be."""
        return self.at_least <= found and (self.at_most is None or found <= self.at_most)

    def __str__(self) -> str:
        if self.at_most is None:
            return f"at least {self.at_least}"
        if self.at_most == 0:
            return "none"
        if self.at_least == self.at_most:
            return f"exactly {self.at_most}"
        return f"{self.at_least} to {self.at_most}" if self.at_least else f"at most {self.at_most}"


@dataclass(frozen=True, slots=True)
class Checked:
    """How an expectation fared: how many alerts there were, and a sentence about it."""

    expectation: Expectation
    found: int
    holds: bool
    says: str


def load_expectations(path: Path) -> tuple[Expectation, ...]:
    """Read a file of expectations, at least one.

    Raises:
        ConfigError: naming everything that is wrong in the file, a line each.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: {(error.strerror or str(error)).lower()}: check --expect"
        ) from error
    except ValueError as error:  # neither TOML nor UTF-8, or a number of thousands of digits
        raise ConfigError(f"{path}: not TOML: {error}") from error
    return read_expectations(content, str(path))


def read_expectations(content: dict[str, object], where: str) -> tuple[Expectation, ...]:
    """Turn the content of such a file into expectations.

    Raises:
        ConfigError: naming everything that is wrong, a line each, after `where`.
    """
    faults = [f"{where}: {fault}" for fault in _faults(content)]
    try:
        file = _File.model_validate(content)
    except ValidationError as error:
        said = [f"{where}: {_place(fault['loc'])}: {_says(fault)}" for fault in error.errors()]
        raise ConfigError("\n".join(said + faults)) from None
    if faults:
        raise ConfigError("\n".join(faults))
    return tuple(one.expectation() for one in file.expect)


def check(expectations: Iterable[Expectation], alerts: Iterable[Verdict]) -> tuple[Checked, ...]:
    """Hold alerts against expectations; the order of the alerts does not matter."""
    ordered = sorted(alerts, key=lambda one: (one.event_time, one.alert_id))
    return tuple(
        _checked(one, [alert for alert in ordered if one.is_about(alert)]) for one in expectations
    )


def _checked(expectation: Expectation, alerts: Sequence[Verdict]) -> Checked:
    found, holds = len(alerts), expectation.allows(len(alerts))
    says = f"expected {expectation}, found {found}"
    if alerts and not holds:
        listed = [one.assignment.audit_event_id for one in alerts[:_LISTED_AT_MOST]]
        more = f" and {found - len(listed)} more" if found > len(listed) else ""
        says = f"{says}: {', '.join(listed)}{more}"
    return Checked(expectation, found, holds, says)


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


_Text = Annotated[str, Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _ExpectPart(_Part):
    name: _Text
    tenant: Annotated[_Text | None, BeforeValidator(_lower)] = None
    reason: Reason | None = None
    severity: Severity | None = None
    event: _Text | None = None
    exactly: Annotated[StrictInt, Field(ge=0)] | None = None
    at_least: Annotated[StrictInt, Field(ge=1)] | None = None
    at_most: Annotated[StrictInt, Field(ge=0)] | None = None
    none: Literal[True] | None = None

    @model_validator(mode="after")
    def _is_one_number(self) -> Self:
        is_between = self.at_least is not None or self.at_most is not None
        if sum((self.exactly is not None, is_between, self.none is not None)) != 1:
            raise ValueError("how many: write exactly, or at_least and at_most, or none = true")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError("at_least: more than at_most: no number is both")
        return self

    def expectation(self) -> Expectation:
        exactly = 0 if self.none else self.exactly
        return Expectation(
            name=self.name,
            at_least=(self.at_least or 0) if exactly is None else exactly,
            at_most=self.at_most if exactly is None else exactly,
            tenant_id=self.tenant,
            reason=self.reason,
            severity=self.severity,
            audit_event_id=self.event,
        )


class _File(_Part):
    expect: tuple[_ExpectPart, ...] = ()


def _faults(content: dict[str, object]) -> Iterator[str]:
    """Say which names are taken twice, or that there is none, in a file wrong otherwise, too."""
    parts = content.get("expect", [])
    if parts == []:
        yield "expect: none there, which proves nothing: write an [[expect]]"
    names = [
        part["name"]
        for part in (parts if isinstance(parts, list) else ())
        if isinstance(part, dict) and isinstance(part.get("name"), str)
    ]
    for name, times in Counter(names).items():
        if times > 1:
            yield f'expect: "{name}": two expectations of that name: rename one'


def _place(path: Sequence[int | str]) -> str:
    return ".".join(str(part) for part in path)


def _says(fault: ErrorDetails) -> str:
    match fault["type"], fault["loc"]:
        case (("missing" | "too_short"), ("expect",)):
            return "none there, which proves nothing: write an [[expect]]"
        case "missing", _:
            return "missing: every expectation needs it"
        case "extra_forbidden", (_,):
            return "no such key: a file has [[expect]] and nothing else"
        case "extra_forbidden", _:
            return f"no such key: there are {', '.join(_ExpectPart.model_fields)}"
        case _:
            text = fault["msg"].removeprefix("Value error, ")
            return text[:1].lower() + text[1:]
