"""Who is asking, in as few statements as may be: the session's person, or the owner of a key."""

import ipaddress
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now

from apps.core import statements, tenancy
from apps.core.actor import ANONYMOUS, PLATFORM, Actor, Scope, region_scope, team_scope
from apps.core.ids import decode, encode
from apps.core.leases import in_time
from apps.core.permissions import (
    BEYOND_A_WORKSPACE,
    GRANTS,
    PLATFORM_ROLES,
    WHILE_SUSPENDED,
    Permission,
    Role,
)
from apps.teams.errors import BadKey
from apps.teams.models import ApiKey
from apps.teams.specs import hash_of, is_well_formed, prefix_of
from apps.teams.states import TeamState
from apps.users.models import User

# How stale `last_used_at` may be; a busy key costs one write in that time.
LAST_USED_EVERY = timedelta(minutes=1)

Grants = dict[Scope, frozenset[Permission]]

_ROLES = """
    SELECT m.role, m.team_id, t.state FROM teams_membership m JOIN teams_team t ON t.id = m.team_id
    WHERE m.user_id = %(user)s
    UNION ALL
    SELECT s.role, s.region_id, NULL FROM users_staffrole s
    WHERE s.user_id = %(user)s AND (NOT %(mfa)s OR EXISTS (
        SELECT 1 FROM mfa_authenticator a WHERE a.user_id = %(user)s AND a.type IN ('totp', 'webauthn')))
"""

_KEY = """
    SELECT k.id, k.hash, k.scopes, k.allowed_networks, k.single_use, k.workspace_id, k.name, k.user_id,
           (k.last_used_at IS NULL OR k.last_used_at < clock_timestamp() - %(every)s) AS is_stale,
           (u.is_active AND k.revoked_at IS NULL
            AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())) AS is_alive,
           held.role, held.scope_id, held.state
    FROM teams_apikey k JOIN users_user u ON u.id = k.user_id
    LEFT JOIN LATERAL (
        SELECT m.role, m.team_id AS scope_id, t.state
        FROM teams_membership m JOIN teams_team t ON t.id = m.team_id
        WHERE m.user_id = k.user_id AND m.team_id = k.team_id
        UNION ALL
        SELECT s.role, s.region_id, NULL FROM users_staffrole s
        WHERE s.user_id = k.user_id AND k.team_id IS NULL
    ) AS held ON true
    WHERE k.prefix = %(prefix)s
"""
_KEY_NAMES = (
    *("id", "hash", "scopes", "allowed_networks", "single_use", "workspace_id", "name", "user_id"),
    *("is_stale", "is_alive", "role", "scope_id", "state"),
)


@dataclass(frozen=True, slots=True)
class _Held:
    """A role, where it is held, and the state of the team when that is a team."""

    role: Role
    scope_id: UUID | None
    team_state: str | None

    @property
    def scope(self) -> Scope:
        if self.role in PLATFORM_ROLES:
            return PLATFORM
        if self.team_state is None:
            return region_scope(encode("reg", self._id))
        return team_scope(encode("team", self._id))

    @property
    def permissions(self) -> frozenset[Permission]:
        match self.team_state:
            case TeamState.SUSPENDED:
                return GRANTS[self.role] & WHILE_SUSPENDED
            case TeamState.CLOSED:
                return frozenset()
            case _:
                return GRANTS[self.role]

    @property
    def _id(self) -> UUID:
        assert self.scope_id is not None
        return self.scope_id


def actor_for_user(user: User, *, ip: str | None = None, request_id: str | None = None) -> Actor:
    """What this person may do and where; leaves the connection seeing just that. Three statements.

    Where staff need a second factor, those without one hold no staff role yet.
    """
    if not user.is_active:
        return ANONYMOUS
    tenancy.enter_as_user(user.pk)
    rows = statements.fetch_all(_ROLES, {"user": decode("usr", user.pk), "mfa": settings.STAFF_MFA_REQUIRED})
    held = [_Held(Role(role), scope_id, state) for role, scope_id, state in rows]
    actor = Actor(user.label, grants_of(held), kind="user", user_id=user.pk, ip=ip, request_id=request_id)
    tenancy.enter(actor)
    return actor


def actor_for_key(secret: str, ip: str | None, *, request_id: str | None = None) -> Actor:
    """What the key may do: its scopes, as far as its creator still holds them. Raises BadKey.

    Leaves the connection seeing what the actor may; three statements, and a fourth once a minute.
    """
    if not is_well_formed(secret):
        raise BadKey("This is not an API key.")
    tenancy.see_everything()
    try:
        key, held = _find_key(secret)
        _check_key(key, secret, ip)
        _note_use(key)
    except BaseException:
        tenancy.leave()
        raise
    scopes = set(key["scopes"]) - (BEYOND_A_WORKSPACE if key["workspace_id"] else frozenset())
    grants = {
        where: frozenset(one for one in allowed if one in scopes)
        for where, allowed in grants_of(held).items()
    }
    actor = Actor(
        f"key {key['name']}",
        grants,
        kind="key",
        user_id=encode("usr", key["user_id"]),
        key_id=encode("key", key["id"]),
        workspace_id=encode("wks", key["workspace_id"]) if key["workspace_id"] else None,
        ip=ip,
        request_id=request_id,
    )
    tenancy.enter(actor)
    return actor


def grants_of(held: Iterable[_Held]) -> Grants:
    """The permissions of several roles, by where they are held."""
    grants: Grants = {}
    for one in held:
        grants[one.scope] = grants.get(one.scope, frozenset()) | one.permissions
    return {where: allowed for where, allowed in grants.items() if allowed}


def _find_key(secret: str) -> tuple[dict[str, Any], list[_Held]]:
    found = statements.fetch_all(_KEY, {"prefix": prefix_of(secret), "every": LAST_USED_EVERY})
    rows = [dict(zip(_KEY_NAMES, row, strict=True)) for row in found]
    if not rows:
        raise BadKey("This API key is unknown or no longer good.")
    held = [_Held(Role(row["role"]), row["scope_id"], row["state"]) for row in rows if row["role"]]
    return rows[0], held


def _check_key(key: dict[str, Any], secret: str, ip: str | None) -> None:
    """One answer for unknown, revoked and expired; the address is told apart, for its owner's sake."""
    if not secrets.compare_digest(key["hash"], hash_of(secret)) or not key["is_alive"]:
        raise BadKey("This API key is unknown or no longer good.")
    if key["allowed_networks"] and not is_allowed_from(ip, key["allowed_networks"]):
        raise BadKey("This API key is not accepted from this address.")


def is_allowed_from(ip: str | None, networks: Iterable[str]) -> bool:
    """Whether the address lies in one of the networks; an IPv4 address in IPv6 clothes is IPv4."""
    try:
        address = ipaddress.ip_address(ip or "")
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in ipaddress.ip_network(one) for one in networks)


def _note_use(key: dict[str, Any]) -> None:
    """Write the time of use at most once a minute; a single-use key is spent by exactly one caller."""
    if key["single_use"]:
        spent = ApiKey.objects.filter(pk=encode("key", key["id"]), revoked_at=None)
        if not spent.update(revoked_at=Now(), last_used_at=Now()):
            raise BadKey("This API key is unknown or no longer good.")
    elif key["is_stale"]:
        long_ago = Q(last_used_at=None) | Q(last_used_at__lt=in_time(-LAST_USED_EVERY))
        ApiKey.objects.filter(long_ago, pk=encode("key", key["id"])).update(last_used_at=Now())
