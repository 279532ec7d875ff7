"""The side navigation of the panels, by job. An entry appears once its page exists and one may see it."""

from dataclasses import dataclass
from typing import Any

from django.urls import NoReverseMatch
from django.utils.translation import gettext_lazy as _

from apps.core.actor import Actor
from apps.core.permissions import Permission
from apps.panels.kit.places import Place

P = Permission


@dataclass(frozen=True)
class Item:
    """`name` is the route inside the panel; `also` are routes that mark this entry too."""

    name: str
    label: Any
    icon: str
    permission: Permission
    also: tuple[str, ...] = ()


Group = tuple[Any, tuple[Item, ...]]

CONSOLE: tuple[Group, ...] = (
    ("", (Item("overview", _("Overview"), "layout-dashboard", P.WORKSPACE_READ),)),
    (
        _("Compute"),
        (
            Item("instances", _("Instances"), "server", P.INSTANCE_READ, ("instance", "launch")),
            Item("subscriptions", _("GPU subscriptions"), "cpu", P.POOL_READ, ("subscription",)),
            Item("volumes", _("Volumes"), "hard-drive", P.VOLUME_READ, ("volume",)),
            Item("snapshots", _("Snapshots"), "camera", P.VOLUME_READ),
            Item("networks", _("Networks"), "network", P.NETWORK_READ, ("network",)),
        ),
    ),
    (
        _("Inference"),
        (
            Item("models", _("Models"), "boxes", P.MODEL_READ, ("model", "model-new")),
            Item(
                "endpoints",
                _("Endpoints"),
                "rocket",
                P.ENDPOINT_READ,
                ("endpoint", "endpoint-new", "endpoints-shared"),
            ),
            Item("playground", _("Playground"), "message-square", P.INFERENCE_USE),
        ),
    ),
    (
        _("Access"),
        (
            Item("ssh-keys", _("SSH keys"), "key-round", P.WORKSPACE_READ, ("ssh-key", "ssh-key-new")),
            Item("api-keys", _("API keys"), "key", P.API_KEY_READ, ("api-key", "api-key-new")),
            Item("webhooks", _("Webhooks"), "webhook", P.WEBHOOK_READ, ("webhook", "webhook-new")),
        ),
    ),
    (
        _("Money"),
        (
            Item("usage", _("Usage"), "chart-column", P.USAGE_READ),
            Item("billing", _("Billing"), "wallet", P.BILLING_READ, ("ledger", "statement", "payments")),
            Item("invoices", _("Invoices"), "file-text", P.BILLING_READ, ("invoice",)),
            Item("budgets", _("Budgets"), "gauge", P.BILLING_READ, ("budget", "budget-new")),
            Item("prices", _("Prices"), "tag", P.PRICE_READ, ("terms",)),
            Item("cost", _("Costs"), "coins", P.PRICE_READ, ("estimate",)),
        ),
    ),
    (
        _("Team"),
        (
            Item("members", _("Members"), "users", P.MEMBER_READ, ("member", "invite", "invitations")),
            Item("workspaces", _("Workspaces"), "layers", P.WORKSPACE_READ, ("workspace", "workspace-new")),
            Item("policies", _("Limits"), "scale", P.POLICY_READ, ("policy",)),
            Item("activity", _("Activity"), "activity", P.OPERATION_READ, ("operation",)),
            Item("audit", _("Audit log"), "scroll-text", P.AUDIT_READ),
            Item("team-settings", _("Settings"), "settings", P.TEAM_UPDATE),
        ),
    ),
)

ADMIN: tuple[Group, ...] = (
    ("", (Item("overview", _("Overview"), "layout-dashboard", P.REGION_READ),)),
    (
        _("Capacity"),
        (
            Item("regions", _("Regions"), "globe", P.REGION_READ, ("region", "region-new", "zones")),
            Item("clusters", _("Clusters"), "boxes", P.CLUSTER_READ, ("cluster", "cluster-new")),
            Item("nodes", _("Nodes"), "server", P.NODE_READ, ("node",)),
            Item("gpus", _("GPUs"), "cpu", P.GPU_READ, ("gpu",)),
            Item("gpu-pools", _("GPU pools"), "layers", P.POOL_READ, ("gpu-pool", "gpu-pool-new")),
            Item("instances", _("Instances"), "box", P.INSTANCE_READ, ("instance",)),
            Item("volumes", _("Volumes"), "hard-drive", P.VOLUME_READ),
            Item("networks", _("Networks"), "network", P.NETWORK_READ, ("network",)),
        ),
    ),
    (
        _("Inference"),
        (
            Item("models", _("Models"), "boxes", P.MODEL_READ, ("model", "model-new")),
            Item(
                "endpoints",
                _("Endpoints"),
                "rocket",
                P.ENDPOINT_READ,
                ("endpoint", "endpoint-new", "provided-new", "provider-new"),
            ),
            Item("replicas", _("Replicas"), "cpu", P.ENDPOINT_READ),
            Item("gateway", _("Gateway"), "waypoints", P.LIMIT_READ, ("limits",)),
        ),
    ),
    (
        _("Catalogue"),
        (
            Item(
                "instance-types",
                _("Instance types"),
                "ruler",
                P.CATALOG_READ,
                ("instance-type", "instance-type-new"),
            ),
            Item("gpu-models", _("GPU models"), "cpu", P.CATALOG_READ, ("gpu-model", "gpu-model-new")),
            Item("images", _("Images"), "disc", P.CATALOG_READ, ("image", "image-new")),
            Item("policies", _("Policies"), "scale", P.POLICY_READ, ("policy", "policy-new")),
        ),
    ),
    (
        _("Customers"),
        (
            Item("teams", _("Teams"), "users", P.TEAM_READ, ("team", "team-new", "team-credit")),
            Item("users", _("Users"), "user", P.USER_READ, ("user",)),
            Item("staff", _("Staff"), "shield", P.STAFF_READ, ("staff-new",)),
        ),
    ),
    (
        _("Money"),
        (
            Item("billing", _("Finance"), "scale", P.BILLING_READ, ("wallets", "account")),
            Item("margin", _("Margin"), "chart-column", P.BILLING_READ, ("costs",)),
            Item("prices", _("Prices"), "tag", P.PRICE_READ, ("price", "price-new", "price-matrix")),
            Item("terms", _("Terms"), "file-text", P.PRICE_READ, ("price-lists", "team-terms")),
            Item("vouchers", _("Vouchers"), "coins", P.WALLET_CREDIT, ("voucher", "voucher-new")),
            Item("usage", _("Usage"), "activity", P.USAGE_READ),
            Item("invoices", _("Invoices"), "file-text", P.BILLING_READ, ("invoice", "invoice-runs")),
            Item("payments", _("Payments"), "banknote", P.BILLING_READ, ("payment", "refunds")),
            Item("ledger", _("Ledger"), "receipt", P.BILLING_READ, ("ledger-entry",)),
            Item("quarantine", _("Quarantine"), "shield-alert", P.BILLING_READ, ("quarantined",)),
        ),
    ),
    (
        _("Platform"),
        (
            Item("operations", _("Operations"), "list-checks", P.OPERATION_READ, ("operation",)),
            Item("events", _("Events"), "activity", P.EVENT_READ),
            Item("audit", _("Audit log"), "scroll-text", P.AUDIT_READ),
            Item("api-keys", _("API keys"), "key", P.STAFF_READ, ("api-key", "api-key-new")),
        ),
    ),
)

CLUSTER: tuple[Group, ...] = (
    ("", (Item("map", _("Region map"), "grid-3x3", P.NODE_READ),)),
    (
        _("Hardware"),
        (
            Item("nodes", _("Nodes"), "server", P.NODE_READ, ("node", "node-enrol")),
            Item("gpus", _("GPUs"), "cpu", P.GPU_READ, ("gpu",)),
            Item("gpu-pools", _("GPU pools"), "layers", P.POOL_READ, ("gpu-pool",)),
            Item("groups", _("Resource groups"), "boxes", P.GROUP_READ, ("group", "group-new")),
            Item("clusters", _("Clusters"), "plug", P.CLUSTER_READ, ("cluster",)),
        ),
    ),
    (
        _("Workloads"),
        (
            Item("instances", _("Instances"), "box", P.INSTANCE_READ, ("instance",)),
            Item("replicas", _("Replicas"), "rocket", P.ENDPOINT_READ),
            Item("volumes", _("Volumes"), "hard-drive", P.VOLUME_READ),
            Item("datastores", _("Datastores"), "database", P.STORAGE_READ, ("datastore",)),
            Item("networks", _("Networks"), "network", P.NETWORK_READ, ("network",)),
        ),
    ),
    (
        _("Work"),
        (
            Item("operations", _("Operations"), "list-checks", P.OPERATION_READ, ("operation",)),
            Item("events", _("Events"), "activity", P.EVENT_READ),
            Item("staff", _("Staff"), "shield", P.REGION_READ),
            Item("audit", _("Audit log"), "scroll-text", P.AUDIT_READ),
        ),
    ),
)

PANELS = {"console": CONSOLE, "admin": ADMIN, "cluster": CLUSTER}


def groups(place: Place, actor: Actor, here: str) -> list[tuple[Any, list[dict[str, Any]]]]:
    """The entries one may see, by group; empty groups are left out."""
    shown = []
    for label, items in PANELS[place.panel]:
        entries = [_entry(item, place, here) for item in items if actor.can(item.permission, place.scope)]
        present = [entry for entry in entries if entry]
        if present:
            shown.append((label, present))
    return shown


def _entry(item: Item, place: Place, here: str) -> dict[str, Any] | None:
    try:
        address = place.url(item.name)
    except NoReverseMatch:
        return None
    active = here == item.name or here in item.also
    return {"label": item.label, "icon": item.icon, "url": address, "active": active}
