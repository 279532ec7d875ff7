"""What permissions are called on a page, by the thing they are about."""

from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission

P = Permission

GROUPS: tuple[tuple[Any, dict[Permission, Any]], ...] = (
    (
        _("Machines"),
        {
            P.INSTANCE_READ: _("See machines"),
            P.INSTANCE_CREATE: _("Launch machines"),
            P.INSTANCE_UPDATE: _("Rename and resize them"),
            P.INSTANCE_OPERATE: _("Start, stop and restart them"),
            P.INSTANCE_ACCESS: _("Open their terminal and console"),
            P.INSTANCE_DELETE: _("Delete them"),
            P.VOLUME_READ: _("See disks"),
            P.NETWORK_READ: _("See networks"),
            P.NETWORK_MANAGE: _("Change networks"),
        },
    ),
    (
        _("Models and endpoints"),
        {
            P.INFERENCE_USE: _("Ask models"),
            P.MODEL_READ: _("See models"),
            P.MODEL_CREATE: _("Add models"),
            P.MODEL_MANAGE: _("Change and withdraw models"),
            P.ENDPOINT_READ: _("See endpoints"),
            P.ENDPOINT_CREATE: _("Launch endpoints"),
            P.ENDPOINT_UPDATE: _("Change and scale endpoints"),
            P.ENDPOINT_OPERATE: _("Wake them and replace replicas"),
            P.ENDPOINT_LOGS: _("Read what their engines write"),
            P.ENDPOINT_DELETE: _("Delete endpoints"),
            P.LIMIT_READ: _("See rate limits"),
            P.LIMIT_MANAGE: _("Set rate limits"),
        },
    ),
    (
        _("Money"),
        {
            P.USAGE_READ: _("See what is used"),
            P.USAGE_INGEST: _("Report usage"),
            P.BILLING_READ: _("See balance and invoices"),
            P.BILLING_MANAGE: _("Pay, and set budgets"),
            P.WALLET_CREDIT: _("Give credit"),
            P.PRICE_READ: _("See prices"),
            P.PRICE_MANAGE: _("Set prices"),
        },
    ),
    (
        _("Team and keys"),
        {
            P.TEAM_READ: _("See the team"),
            P.TEAM_CREATE: _("Make teams"),
            P.TEAM_UPDATE: _("Change the team"),
            P.TEAM_SUSPEND: _("Suspend teams"),
            P.MEMBER_READ: _("See members"),
            P.MEMBER_MANAGE: _("Invite and remove members"),
            P.WORKSPACE_READ: _("See workspaces"),
            P.WORKSPACE_MANAGE: _("Make and change workspaces"),
            P.API_KEY_READ: _("See API keys"),
            P.API_KEY_MANAGE: _("Make API keys"),
            P.WEBHOOK_READ: _("See webhooks"),
            P.WEBHOOK_MANAGE: _("Make and change webhooks"),
        },
    ),
    (
        _("What happens"),
        {
            P.OPERATION_READ: _("Follow operations"),
            P.OPERATION_CANCEL: _("Cancel operations"),
            P.EVENT_READ: _("See events"),
            P.AUDIT_READ: _("Read the audit log"),
        },
    ),
    (
        _("Catalogue and rules"),
        {
            P.CATALOG_READ: _("See types and images"),
            P.CATALOG_MANAGE: _("Change types and images"),
            P.POLICY_READ: _("See quotas and policies"),
            P.POLICY_MANAGE: _("Change quotas and policies"),
        },
    ),
    (
        _("Regions"),
        {
            P.REGION_READ: _("See regions"),
            P.REGION_MANAGE: _("Add and change regions"),
            P.REGION_FREEZE: _("Pull a region’s brake"),
            P.CLUSTER_READ: _("See clusters"),
            P.CLUSTER_MANAGE: _("Add and change clusters"),
            P.STORAGE_READ: _("See storage"),
        },
    ),
    (
        _("Nodes and GPUs"),
        {
            P.NODE_READ: _("See nodes"),
            P.NODE_ENROL: _("Enrol nodes"),
            P.NODE_CORDON: _("Close nodes for new machines"),
            P.NODE_DRAIN: _("Drain nodes"),
            P.NODE_MANAGE: _("Change nodes"),
            P.NODE_REPORT: _("Report as a node’s agent"),
            P.GPU_READ: _("See GPUs"),
            P.GPU_MANAGE: _("Take GPUs out of service and back"),
            P.POOL_READ: _("See GPU pools"),
            P.POOL_MANAGE: _("Change GPU pools"),
            P.GROUP_READ: _("See resource groups"),
            P.GROUP_MANAGE: _("Change resource groups"),
        },
    ),
    (
        _("People"),
        {
            P.USER_READ: _("See users"),
            P.USER_MANAGE: _("Change and lock out users"),
            P.STAFF_READ: _("See staff"),
            P.STAFF_MANAGE: _("Give staff roles"),
        },
    ),
)
NAMES: dict[str, Any] = {one: name for _group, names in GROUPS for one, name in names.items()}


def name_of(permission: str) -> Any:
    return NAMES.get(permission, permission)


def choices(held: Iterable[str]) -> list[tuple[Any, list[tuple[str, Any]]]]:
    """Those held, for a form's field, in groups; a group of none is left out."""
    mine = set(held)
    found = (
        (group, [(one.value, name) for one, name in names.items() if one in mine]) for group, names in GROUPS
    )
    return [(group, options) for group, options in found if options]
