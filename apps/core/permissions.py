"""Everything anybody may do, and which role may do it; one page, no code."""

from enum import StrEnum


class Permission(StrEnum):
    INSTANCE_READ = "instance:read"
    INSTANCE_CREATE = "instance:create"
    INSTANCE_UPDATE = "instance:update"
    INSTANCE_OPERATE = "instance:operate"
    INSTANCE_ACCESS = "instance:access"
    INSTANCE_DELETE = "instance:delete"
    OPERATION_READ = "operation:read"
    OPERATION_CANCEL = "operation:cancel"
    VOLUME_READ = "volume:read"
    NETWORK_READ = "network:read"
    NETWORK_MANAGE = "network:manage"
    TEAM_READ = "team:read"
    TEAM_CREATE = "team:create"
    TEAM_UPDATE = "team:update"
    TEAM_SUSPEND = "team:suspend"
    MEMBER_READ = "member:read"
    MEMBER_MANAGE = "member:manage"
    WORKSPACE_READ = "workspace:read"
    WORKSPACE_MANAGE = "workspace:manage"
    API_KEY_READ = "api_key:read"
    API_KEY_MANAGE = "api_key:manage"
    WEBHOOK_READ = "webhook:read"
    WEBHOOK_MANAGE = "webhook:manage"
    MODEL_READ = "model:read"
    MODEL_CREATE = "model:create"
    MODEL_MANAGE = "model:manage"
    ENDPOINT_READ = "endpoint:read"
    ENDPOINT_CREATE = "endpoint:create"
    ENDPOINT_UPDATE = "endpoint:update"
    ENDPOINT_OPERATE = "endpoint:operate"
    ENDPOINT_LOGS = "endpoint:logs"
    ENDPOINT_DELETE = "endpoint:delete"
    INFERENCE_USE = "inference:use"
    LIMIT_READ = "limit:read"
    LIMIT_MANAGE = "limit:manage"
    USAGE_READ = "usage:read"
    USAGE_INGEST = "usage:ingest"
    BILLING_READ = "billing:read"
    BILLING_MANAGE = "billing:manage"
    WALLET_CREDIT = "wallet:credit"
    PRICE_READ = "price:read"
    PRICE_MANAGE = "price:manage"
    AUDIT_READ = "audit:read"
    EVENT_READ = "event:read"
    REGION_READ = "region:read"
    REGION_MANAGE = "region:manage"
    REGION_FREEZE = "region:freeze"
    CLUSTER_READ = "cluster:read"
    CLUSTER_MANAGE = "cluster:manage"
    NODE_READ = "node:read"
    NODE_ENROL = "node:enrol"
    NODE_CORDON = "node:cordon"
    NODE_DRAIN = "node:drain"
    NODE_MANAGE = "node:manage"
    NODE_REPORT = "node:report"
    GPU_READ = "gpu:read"
    GPU_MANAGE = "gpu:manage"
    POOL_READ = "pool:read"
    POOL_MANAGE = "pool:manage"
    GROUP_READ = "group:read"
    GROUP_MANAGE = "group:manage"
    CATALOG_READ = "catalog:read"
    CATALOG_MANAGE = "catalog:manage"
    STORAGE_READ = "storage:read"
    POLICY_READ = "policy:read"
    POLICY_MANAGE = "policy:manage"
    USER_READ = "user:read"
    USER_MANAGE = "user:manage"
    STAFF_READ = "staff:read"
    STAFF_MANAGE = "staff:manage"


class Role(StrEnum):
    FULL_ADMINISTRATOR = "full_administrator"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    REGION_OPERATOR = "region_operator"
    REGION_VIEWER = "region_viewer"
    TEAM_ADMIN = "team_admin"
    TEAM_MEMBER = "team_member"
    TEAM_BILLING = "team_billing"
    TEAM_VIEWER = "team_viewer"


P = Permission

PLATFORM_ROLES = (Role.FULL_ADMINISTRATOR, Role.OPERATOR, Role.AUDITOR)
REGION_ROLES = (Role.REGION_OPERATOR, Role.REGION_VIEWER)
TEAM_ROLES = (Role.TEAM_ADMIN, Role.TEAM_MEMBER, Role.TEAM_BILLING, Role.TEAM_VIEWER)

_EVERY_READ = frozenset(permission for permission in P if permission.endswith(":read"))

_IN_A_REGION = frozenset(
    {
        P.INSTANCE_READ, P.OPERATION_READ, P.VOLUME_READ, P.NETWORK_READ, P.EVENT_READ, P.REGION_READ,
        P.CLUSTER_READ, P.NODE_READ, P.GPU_READ, P.POOL_READ, P.GROUP_READ, P.CATALOG_READ, P.STORAGE_READ,
        P.AUDIT_READ, P.MODEL_READ, P.ENDPOINT_READ,
    }
)  # fmt: skip

_IN_A_TEAM = frozenset(
    {
        P.INSTANCE_READ, P.OPERATION_READ, P.VOLUME_READ, P.NETWORK_READ, P.TEAM_READ, P.MEMBER_READ,
        P.WORKSPACE_READ, P.CATALOG_READ, P.PRICE_READ, P.EVENT_READ, P.POLICY_READ, P.MODEL_READ,
        P.ENDPOINT_READ, P.LIMIT_READ,
    }
)  # fmt: skip

_WORK = frozenset(
    {
        P.INSTANCE_CREATE, P.INSTANCE_UPDATE, P.INSTANCE_OPERATE, P.INSTANCE_ACCESS, P.INSTANCE_DELETE,
        P.OPERATION_CANCEL, P.API_KEY_READ, P.API_KEY_MANAGE, P.USAGE_READ, P.MODEL_CREATE, P.MODEL_MANAGE,
        P.ENDPOINT_CREATE, P.ENDPOINT_UPDATE, P.ENDPOINT_OPERATE, P.ENDPOINT_LOGS, P.ENDPOINT_DELETE,
        P.INFERENCE_USE,
    }
)  # fmt: skip

_MONEY = frozenset({P.USAGE_READ, P.BILLING_READ, P.BILLING_MANAGE, P.WEBHOOK_READ, P.WEBHOOK_MANAGE})

GRANTS: dict[Role, frozenset[Permission]] = {
    Role.FULL_ADMINISTRATOR: frozenset(P),
    Role.OPERATOR: frozenset(P)
    - {P.STAFF_MANAGE, P.PRICE_MANAGE, P.WALLET_CREDIT, P.INSTANCE_ACCESS, P.ENDPOINT_LOGS},
    Role.AUDITOR: _EVERY_READ,
    Role.REGION_OPERATOR: _IN_A_REGION
    | {
        P.INSTANCE_OPERATE, P.ENDPOINT_OPERATE, P.OPERATION_CANCEL, P.REGION_FREEZE, P.NODE_ENROL,
        P.NODE_CORDON, P.NODE_DRAIN, P.NODE_MANAGE, P.GPU_MANAGE, P.GROUP_MANAGE, P.NETWORK_MANAGE,
    },
    Role.REGION_VIEWER: _IN_A_REGION,
    Role.TEAM_ADMIN: _IN_A_TEAM
    | _WORK
    | _MONEY
    | {P.TEAM_UPDATE, P.MEMBER_MANAGE, P.WORKSPACE_MANAGE, P.AUDIT_READ, P.LIMIT_MANAGE},
    Role.TEAM_MEMBER: _IN_A_TEAM | _WORK,
    Role.TEAM_BILLING: _IN_A_TEAM | _MONEY,
    Role.TEAM_VIEWER: _IN_A_TEAM,
}  # fmt: skip

# What remains of any grant while its team is suspended: one may look and pay, nothing else.
WHILE_SUSPENDED = _EVERY_READ | {P.BILLING_MANAGE}

# What a key that is bound to one workspace cannot do, whatever its scopes: it concerns the whole team.
BEYOND_A_WORKSPACE = frozenset(
    {
        P.TEAM_UPDATE, P.MEMBER_MANAGE, P.WORKSPACE_MANAGE, P.BILLING_MANAGE, P.WEBHOOK_READ,
        P.WEBHOOK_MANAGE, P.MODEL_MANAGE,
    }
)  # fmt: skip
