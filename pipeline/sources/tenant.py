"""Whose record it is."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.sources.reading import Row, first_text


@dataclass(frozen=True, slots=True)
class Owner:
    """The tenant of a record ("" when it names none), and the workspace taken for one."""

    tenant_id: str
    unmapped_workspace: str = ""


def owner_of_record(record: Row, properties: Row) -> Owner:
    """Read the tenant of a diagnostic record: the envelope's wins over the row's."""
    tenant = first_text(record, "tenantId") or first_text(properties, "TenantId", "tenantId")
    return Owner(tenant.lower())


def owner_of_row(row: Row, workspaces: Mapping[str, str]) -> Owner:
    """Read the tenant of a bare row, whose TenantId is the id of a Log Analytics workspace."""
    tenant = first_text(row, "tenantId").lower()
    if tenant:
        return Owner(tenant)
    workspace = first_text(row, "TenantId").lower()
    if not workspace:
        return Owner("")
    if workspace in workspaces:
        return Owner(workspaces[workspace])
    return Owner(workspace, unmapped_workspace=workspace)
