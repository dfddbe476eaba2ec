import pytest

from pipeline.core.detection import (
    MassAssignment,
    ModifiedProperty,
    Target,
    detect,
    is_assignment_operation,
)

REQUIRED = ModifiedProperty("Intent", "Required")
DEVICES = ModifiedProperty("Target.Type", "AllDevicesAssignmentTarget")
USERS = ModifiedProperty("Target.Type", "AllLicensedUsersAssignmentTarget")
GROUP = ModifiedProperty("Target.Type", "GroupAssignmentTarget")


def in_group(group: str, *properties: ModifiedProperty) -> Target:
    return Target(group, properties)


@pytest.mark.parametrize(
    ("operation", "result", "counts"),
    [
        ("Create MobileAppAssignment", "Success", True),
        ("Patch MobileAppAssignment", "Success", True),
        ("Delete MobileAppAssignment", "Success", False),
        ("Patch mobileAppAssignment", "Success", False),
        ("Create MobileAppAssignment ", "Success", False),
        ("Create MobileAppAssignment", "success", False),
        ("Create MobileAppAssignment", "Failure", False),
        ("Create MobileAppAssignment", "", False),
    ],
)
def test_only_a_successful_create_or_patch_counts_to_the_letter(
    operation: str, result: str, *, counts: bool
) -> None:
    assert is_assignment_operation(operation, result) is counts


@pytest.mark.parametrize(
    ("signal", "target_type"),
    [(DEVICES, "AllDevicesAssignmentTarget"), (USERS, "AllLicensedUsersAssignmentTarget")],
)
def test_one_target_with_both_signals_is_a_mass_assignment(
    signal: ModifiedProperty, target_type: str
) -> None:
    found = detect([in_group("app"), in_group("<null>", signal, REQUIRED)])

    assert found == MassAssignment((target_type,), split_signals=False)


@pytest.mark.parametrize(
    "properties",
    [
        (),
        (REQUIRED,),
        (DEVICES,),
        (REQUIRED, GROUP),
        (ModifiedProperty("Intent", "Available"), DEVICES),
        (ModifiedProperty("Intent", "required"), DEVICES),
        (ModifiedProperty("intent", "Required"), DEVICES),
        (REQUIRED, ModifiedProperty("Target.Type", "alldevicesassignmenttarget")),
        (REQUIRED, ModifiedProperty("TargetType", "AllDevicesAssignmentTarget")),
        (ModifiedProperty("Target.Type", "Required"), ModifiedProperty("Intent", DEVICES.new)),
    ],
)
def test_one_signal_or_another_spelling_is_none(properties: tuple[ModifiedProperty, ...]) -> None:
    assert detect([in_group("<null>", *properties)]) is None


def test_no_targets_are_no_assignment() -> None:
    assert detect([]) is None


def test_two_targets_of_one_name_may_share_the_signals_and_the_alert_says_so() -> None:
    found = detect([in_group("<null>", REQUIRED), in_group("<null>", DEVICES)])

    assert found == MassAssignment(("AllDevicesAssignmentTarget",), split_signals=True)


def test_two_targets_of_different_names_do_not_share_signals() -> None:
    assert detect([in_group("one", REQUIRED), in_group("other", DEVICES)]) is None


def test_signals_are_not_split_when_any_single_target_has_both() -> None:
    found = detect(
        [
            in_group("a", REQUIRED),
            in_group("a", USERS),
            in_group("b", REQUIRED, DEVICES),
        ]
    )

    assert found == MassAssignment(
        ("AllDevicesAssignmentTarget", "AllLicensedUsersAssignmentTarget"), split_signals=False
    )


def test_only_types_of_groups_with_both_signals_are_named() -> None:
    found = detect([in_group("a", USERS), in_group("b", REQUIRED, DEVICES)])

    assert found == MassAssignment(("AllDevicesAssignmentTarget",), split_signals=False)


def test_a_signal_beside_other_values_of_the_same_property_counts() -> None:
    available = ModifiedProperty("Intent", "Available")

    assert detect([in_group("<null>", available, REQUIRED, GROUP, DEVICES)]) is not None
