"""Whether the settings and the policy are right, and what of them wants a person's eye."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any, Final

from pydantic import ValidationError
from pydantic_settings.exceptions import SettingsError

from pipeline.adapters.not_reached import taken_apart
from pipeline.config import PREFIX, Settings, load_settings
from pipeline.core.errors import ConfigError
from pipeline.core.event_time import EventTime
from pipeline.core.policy import Policy
from pipeline.doctor.finding import Area, Cause, Finding, Level, ok
from pipeline.policy_file import load_policy
from pipeline.policy_notes import Note, notes_of

_EXPIRES_WITHIN: Final = timedelta(days=30)


def settings_with_findings() -> tuple[Settings | None, list[Finding]]:
    """Read the settings, as far as they are right, and say what is wrong.

    See `wrong_sections` for what of them is of no use.
    """
    try:
        return load_settings(), [ok(Area.SETTINGS, "settings", "are right")]
    except ConfigError as error:
        return _readable(), list(_faults(error))


def wrong_sections(findings: Iterable[Finding]) -> frozenset[str]:
    """Return the sections, such as KAFKA, that hold a setting that is wrong."""
    names = (one.where for one in findings if one.cause is Cause.SETTINGS)
    return frozenset(name.removeprefix(PREFIX).partition("__")[0] for name in names)


def policy_with_findings(settings: Settings, now: EventTime) -> tuple[Policy | None, list[Finding]]:
    """Read the policy, and say what a person should look at in it."""
    where = str(settings.policy_file or "the default policy")
    try:
        policy = load_policy(settings.policy_file)
    except ConfigError as error:
        return None, list(_policy_faults(error, where))
    notes = [_noted(note) for note in notes_of(policy, now, _EXPIRES_WITHIN)]
    return policy, [ok(Area.POLICY, where, f"is right, digest {policy.digest}"), *notes]


def _readable() -> Settings | None:
    """Read the settings with the defaults of those sections that hold what cannot be read."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = {str(fault["loc"][0]) for fault in error.errors()}
    except SettingsError:
        return None
    defaults: dict[str, Any] = {name: Settings.model_fields[name].default for name in wrong}
    return Settings(**defaults)


def _faults(error: ConfigError) -> Iterator[Finding]:
    for line in str(error).splitlines():
        where, what, remedy = taken_apart(line)
        # Errors may end with the value that they are about, which is nothing to do.
        if not remedy[:1].islower():
            what, remedy = line.removeprefix(f"{where}: "), "see masswatch settings"
        yield Finding(Level.FAULT, Area.SETTINGS, where, what, remedy, Cause.SETTINGS)


def _policy_faults(error: ConfigError, where: str) -> Iterator[Finding]:
    for line in str(error).splitlines():
        what = line.removeprefix(f"{where}: ")
        remedy = "correct the file; masswatch policy check says the same"
        yield Finding(Level.FAULT, Area.POLICY, where, what, remedy, Cause.SETTINGS)


def _noted(note: Note) -> Finding:
    return Finding(Level.NOTE, Area.POLICY, note.where, note.what, note.remedy)
