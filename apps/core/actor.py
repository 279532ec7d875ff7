"""Who is asking: resolved once per request, then passed by value."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from apps.core.errors import NotPermitted
from apps.core.permissions import Permission


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a permission holds: the platform, one region, or one team. `id` is a typed id or `*`."""

    kind: str
    id: str = "*"


PLATFORM = Scope("platform")


def team_scope(team_id: str) -> Scope:
    return Scope("team", team_id)


def region_scope(region_id: str) -> Scope:
    return Scope("region", region_id)


def node_scope(node_id: str) -> Scope:
    """What an agent's credential opens: its own host and nothing else."""
    return Scope("node", node_id)


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, a key or the platform itself, with what it may do and where.

    A key bound to a workspace carries it in `workspace_id` and sees nothing outside it.
    """

    label: str
    grants: Mapping[Scope, frozenset[Permission]] = field(default_factory=dict)
    kind: str = "system"
    user_id: str | None = None
    key_id: str | None = None
    workspace_id: str | None = None
    ip: str | None = None
    request_id: str | None = None

    def can(self, permission: Permission, scope: Scope) -> bool:
        return any(permission in self.grants.get(at, ()) for at in (scope, PLATFORM))

    def can_any(self, permission: Permission, *scopes: Scope) -> bool:
        return any(self.can(permission, scope) for scope in scopes)

    def require(self, permission: Permission, *scopes: Scope) -> None:
        """Raise NotPermitted unless the permission is held in one of the scopes or platform-wide."""
        if not self.can_any(permission, *scopes or (PLATFORM,)):
            raise NotPermitted(f"This needs the permission {permission}.", permission=str(permission))

    def scopes(self, permission: Permission, kind: str) -> set[str]:
        """The ids in which the permission holds; `*` means all of them."""
        return {
            at.id for at, held in self.grants.items() if permission in held and at.kind in (kind, "platform")
        }

    def ids(self, kind: str) -> frozenset[str]:
        """Every team or region in which the actor holds anything at all."""
        return frozenset(at.id for at, held in self.grants.items() if held and at.kind == kind)

    @property
    def is_staff(self) -> bool:
        return bool(self.grants.get(PLATFORM))


ANONYMOUS = Actor("anonymous", kind="anonymous")
SYSTEM = Actor("system", {PLATFORM: frozenset(Permission)})
