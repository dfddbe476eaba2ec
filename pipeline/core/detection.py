"""Tell whether an audit event makes an app Required for everybody.

The rule is the seed's, read as KQL reads it: targets are grouped by their name, and a group has
both signals when one of its properties sets Intent to Required and one sets Target.Type to All
Users or All Devices.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

OPERATIONS_THAT_COUNT: Final = frozenset(
    {"Create MobileAppAssignment", "Patch MobileAppAssignment"}
)
RESULT_THAT_COUNTS: Final = "Success"
INTENT: Final = "Intent"
TARGET_TYPE: Final = "Target.Type"
PROPERTIES_THAT_COUNT: Final = frozenset({INTENT, TARGET_TYPE})
TARGET_TYPES_OF_ALL: Final = frozenset(
    {"AllLicensedUsersAssignmentTarget", "AllDevicesAssignmentTarget"}
)


class ModifiedProperty(NamedTuple):
    """What a target's property was set to, as text."""

    name: str
    new: str


@dataclass(frozen=True, slots=True)
class Target:
    """One target of an audit event, under the name by which the seed groups targets.

    Of its properties those that count are enough.
    """

    group: str
    properties: tuple[ModifiedProperty, ...]

    @property
    def is_required(self) -> bool:
        """Tell whether the app becomes Required here."""
        return any(one.name == INTENT and one.new == "Required" for one in self.properties)

    @property
    def types_of_all(self) -> frozenset[str]:
        """Return the target types that mean everybody."""
        types = (one.new for one in self.properties if one.name == TARGET_TYPE)
        return TARGET_TYPES_OF_ALL.intersection(types)


@dataclass(frozen=True, slots=True)
class MassAssignment:
    """To whom the app became Required; `split_signals`: no single target says all of it."""

    target_types: tuple[str, ...]
    split_signals: bool


def is_assignment_operation(operation: str, result: str) -> bool:
    """Tell whether an event of that name and result may be an assignment at all."""
    return operation in OPERATIONS_THAT_COUNT and result == RESULT_THAT_COUNTS


def detect(targets: Sequence[Target]) -> MassAssignment | None:
    """Find both signals in one group of targets.

    Args:
        targets: All targets of a successful Create or Patch MobileAppAssignment.

    Returns:
        What was assigned to everybody, or None when no group has both signals.
    """
    required = {target.group for target in targets if target.is_required}
    types = {one for target in targets if target.group in required for one in target.types_of_all}
    if not types:
        return None
    in_one = any(target.is_required and target.types_of_all for target in targets)
    return MassAssignment(target_types=tuple(sorted(types)), split_signals=not in_one)
