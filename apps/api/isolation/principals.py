"""Everybody who may knock: made through the services, inside a transaction that never commits."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from django.test import Client

from apps.api.isolation.specimens import Owner
from apps.core import tenancy
from apps.core.actor import SYSTEM, Actor
from apps.core.ids import new_id
from apps.core.permissions import GRANTS, TEAM_ROLES, WHILE_SUSPENDED, Permission, Role
from apps.nodes.models import Node
from apps.nodes.selectors import actor_for_agent
from apps.nodes.services import invite_agent, register_agent, revoke_agent
from apps.nodes.specs import CREDENTIAL_HEAD, hash_of
from apps.nodes.states import State
from apps.regions.models import Region
from apps.teams.models import Team, Workspace
from apps.teams.selectors.actors import actor_for_user
from apps.teams.services import (
    add_member,
    change_role,
    close_team,
    create_api_key,
    create_team,
    create_workspace,
    revoke_api_key,
    rotate_api_key,
    suspend_team,
)
from apps.teams.specs import KeyWish
from apps.users.models import User
from apps.users.services import add_ssh_key, deactivate_user, grant_staff_role, register_user

ADDRESS = "192.0.2.10"
ELSEWHERE = "198.51.100.7"
NOBODY = Owner()


@dataclass(frozen=True, slots=True)
class World:
    """Two teams and two regions, each with things of its own."""

    ours: Team
    theirs: Team
    here: Region
    there: Region


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody at the door. `dead` ones are nobody (401); the others hold `permissions` at home.

    `browses` asks the panels, `calls` the APIs; `workspace` is the one that a key is bound to.
    """

    name: str
    client: Client
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = "team"  # team, region, platform, node
    permissions: frozenset[Permission] = frozenset()
    home: Owner = NOBODY
    others: Owner = NOBODY
    dead: bool = False
    workspace: str | None = None
    browses: bool = False
    calls: bool = True
    ip: str = ADDRESS


def principals(world: World) -> Iterator[Principal]:
    """All of them; the world's rows stay as they are."""
    for made in GROUPS.values():
        yield from made(world)


def members(world: World) -> Iterator[Principal]:
    """The roles of a team, by key."""
    for role in TEAM_ROLES:
        yield _by_key(str(role), world, role)
    yield _by_key("foreign team_admin", _mirrored(world), Role.TEAM_ADMIN)


def visitors(world: World) -> Iterator[Principal]:
    """The same, signed in."""
    yield _by_session("team_admin by browser", world, Role.TEAM_ADMIN)
    for name, where, role in (
        ("team_viewer by browser", world, Role.TEAM_VIEWER),
        ("foreign team_admin by browser", _mirrored(world), Role.TEAM_ADMIN),
    ):
        yield replace(_by_session(name, where, role), calls=False)


def _mirrored(world: World) -> World:
    return replace(world, ours=world.theirs, theirs=world.ours)


def outsiders(world: World) -> Iterator[Principal]:
    """Those who may do nothing, less than usual, or no longer anything."""
    yield Principal("anonymous", Client(raise_request_exception=False), dead=True)
    narrow = frozenset({Permission.TEAM_READ})
    yield _by_key("key with one scope", world, Role.TEAM_ADMIN, scopes=narrow)
    other = create_workspace(actor=SYSTEM, team=world.ours, name="Elsewhere")
    yield _by_key("key of another workspace", world, Role.TEAM_ADMIN, workspace=other)
    wrong = _by_key("key from a wrong address", world, Role.TEAM_ADMIN, networks=(f"{ADDRESS}/32",))
    yield replace(wrong, ip=ELSEWHERE, dead=True)
    yield from _ended(world)


def _ended(world: World) -> Iterator[Principal]:
    """Those whose right has ended: by revocation, time, deactivation, suspension."""
    user = _person(world.ours, Role.TEAM_ADMIN)
    secret, key = _mint(user, world.ours)
    revoke_api_key(actor=_actor(user), key=key)
    yield Principal("revoked key", *_with(secret), dead=True, home=Owner(world.ours))
    secret, key = _mint(user, world.ours)
    rotate_api_key(actor=_actor(user), key=key, overlap=timedelta())
    yield Principal("expired key", *_with(secret), dead=True, home=Owner(world.ours))
    gone = _person(world.ours, Role.TEAM_ADMIN)
    secret, _key = _mint(gone, world.ours)
    deactivate_user(actor=SYSTEM, user=gone, reason="isolation")
    yield Principal("key of a deactivated person", *_with(secret), dead=True, home=Owner(world.ours))
    yield from _stopped_teams(world)


def _stopped_teams(world: World) -> Iterator[Principal]:
    theirs = Owner(world.theirs, user=_person(world.theirs, Role.TEAM_VIEWER))
    owner = _user()
    suspended = create_team(actor=SYSTEM, name="Suspended", owner=owner)
    secret, _key = _mint(owner, suspended)
    suspend_team(actor=SYSTEM, team=suspended, reason="isolation")
    left = GRANTS[Role.TEAM_ADMIN] & WHILE_SUSPENDED
    yield Principal(
        "admin of a suspended team", *_with(secret), permissions=left, home=Owner(suspended), others=theirs
    )
    owner = _user()
    closed = create_team(actor=SYSTEM, name="Closed", owner=owner)
    secret, _key = _mint(owner, closed)
    close_team(actor=SYSTEM, team=closed)
    yield Principal("admin of a closed team", *_with(secret), home=Owner(closed), others=theirs)


def staff(world: World) -> Iterator[Principal]:
    """Those with a role platform-wide."""
    for role in (Role.FULL_ADMINISTRATOR, Role.OPERATOR, Role.AUDITOR):
        user = _user()
        grant_staff_role(actor=SYSTEM, user=user, role=role)
        yield _staff_key(str(role), user, role)
        yield _staff_session(str(role), user, role)


def regional_staff(world: World) -> Iterator[Principal]:
    """Those with a role in one region."""
    for role, region, other in (
        (Role.REGION_OPERATOR, world.here, world.there),
        (Role.REGION_VIEWER, world.here, world.there),
        (Role.REGION_OPERATOR, world.there, world.here),
    ):
        user = _user()
        grant_staff_role(actor=SYSTEM, user=user, role=role, region_id=region.pk, region_slug=region.slug)
        name = f"{role} {'of the other region' if region == world.there else ''}".strip()
        about: dict[str, Any] = {
            "kind": "region",
            "home": Owner(region=region),
            "others": Owner(region=other),
        }
        yield replace(_staff_key(name, user, role), **about)
        if region == world.here:
            yield replace(_staff_session(name, user, role), **about)


def agents(world: World) -> Iterator[Principal]:
    """Hosts that report themselves, one in each region, and one whose door was closed."""
    for region, other in ((world.here, world.there), (world.there, world.here)):
        about: dict[str, Any] = {"kind": "node", "home": Owner(region=region), "others": Owner(region=other)}
        secret = _enrolled(region)
        may = frozenset({Permission.NODE_REPORT})
        yield Principal(f"agent in {region.slug}", *_with(secret), permissions=may, **about)
    closed = _enrolled(world.here)
    revoke_agent(actor=SYSTEM, node=_node_of(world.here))
    yield Principal("revoked agent", *_with(closed), kind="node", dead=True, home=Owner(region=world.here))


def _enrolled(region: Region) -> str:
    """A credential for the region's newest node."""
    invitation = invite_agent(actor=SYSTEM, node=_node_of(region))
    secret = CREDENTIAL_HEAD + new_id("iso")
    actor = actor_for_agent(invitation.node)
    register_agent(actor=actor, token=invitation.token, credential=hash_of(secret), version="0")
    tenancy.leave()
    return secret


def _node_of(region: Region) -> Node:
    found = Node.objects.filter(region=region).exclude(state=State.RETIRED).order_by("-pk").first()
    assert found is not None, "a region of the isolation matrix has a node"
    node: Node = found
    return node


def _staff_key(name: str, user: User, role: Role) -> Principal:
    secret, _key = _mint(user, None)
    return Principal(name, *_with(secret), kind="platform", permissions=GRANTS[role], home=Owner(user=user))


def _staff_session(name: str, user: User, role: Role) -> Principal:
    return Principal(
        f"{name} by browser",
        _signed_in(user),
        kind="platform",
        permissions=GRANTS[role],
        home=Owner(user=user),
        browses=True,
        calls=role == Role.FULL_ADMINISTRATOR,
    )


def _by_key(
    name: str,
    world: World,
    role: Role,
    *,
    scopes: frozenset[Permission] | None = None,
    workspace: Workspace | None = None,
    networks: tuple[str, ...] = (),
) -> Principal:
    user = _person(world.ours, Role.TEAM_ADMIN)
    secret, _key = _mint(user, world.ours, scopes or GRANTS[role], workspace, networks)
    if role != Role.TEAM_ADMIN:  # not every role may make keys; every role may be left with one
        change_role(actor=SYSTEM, member=world.ours.memberships.get(user=user), role=role)
    return replace(
        _at_home(name, world, user, role),
        headers={"Authorization": f"Bearer {secret}"},
        permissions=GRANTS[role] if scopes is None else scopes,
        workspace=str(workspace.pk) if workspace else None,
    )


def _by_session(name: str, world: World, role: Role) -> Principal:
    user = _person(world.ours, role)
    return replace(_at_home(name, world, user, role), client=_signed_in(user), browses=True)


def _at_home(name: str, world: World, user: User, role: Role) -> Principal:
    return Principal(
        name,
        Client(raise_request_exception=False),
        permissions=GRANTS[role],
        home=Owner(world.ours, user=user),
        others=Owner(world.theirs, user=_person(world.theirs, Role.TEAM_VIEWER)),
    )


def _with(secret: str) -> tuple[Client, dict[str, str]]:
    return Client(raise_request_exception=False), {"Authorization": f"Bearer {secret}"}


def _signed_in(user: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(user, settings.AUTHENTICATION_BACKENDS[-1])
    return client


def _actor(user: User) -> Actor:
    """What the person may do; the connection goes on seeing everything."""
    actor = actor_for_user(user)
    tenancy.leave()
    return actor


def _user() -> User:
    return register_user(actor=SYSTEM, email=f"{new_id('iso')}@example.invalid", name="Isolation")


def _person(team: Team, role: Role) -> User:
    user = _user()
    add_member(actor=SYSTEM, team=team, user=user, role=role)
    add_ssh_key(actor=_actor(user), name="isolation", public_key=_public_key())
    return user


def _public_key() -> str:
    key = Ed25519PrivateKey.generate().public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def _mint(
    user: User,
    team: Team | None,
    scopes: frozenset[Permission] | None = None,
    workspace: Workspace | None = None,
    networks: tuple[str, ...] = (),
) -> tuple[str, Any]:
    """A key with these scopes, or with all its owner may have there."""
    actor = _actor(user)
    where = [held for at, held in actor.grants.items() if team is None or at == team.scope]
    wanted = scopes if scopes is not None else frozenset().union(*where)
    wish = KeyWish("isolation", frozenset(map(str, wanted)), allowed_networks=networks)
    issued = create_api_key(actor=actor, team=team, wish=wish, workspace=workspace)
    return issued.secret, issued.key


GROUPS: dict[str, Callable[[World], Iterator[Principal]]] = {
    "members": members,
    "visitors": visitors,
    "outsiders": outsiders,
    "staff": staff,
    "regional staff": regional_staff,
    "agents": agents,
}
