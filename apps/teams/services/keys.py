"""API keys are made, rotated and revoked; their secrets are shown once and kept nowhere."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models.functions import Now

from apps.audit import services as audit
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.errors import Conflict, Invalid, NotFound, NotPermitted
from apps.core.permissions import Permission, Role
from apps.teams import signals
from apps.teams.errors import ScopeExceeded
from apps.teams.models import ApiKey, Membership, Team, Workspace
from apps.teams.selectors.rows import grantable
from apps.teams.specs import KeyWish, mint
from apps.users.models import User
from apps.users.selectors import has_full_administrator
from apps.users.services import grant_staff_role, register_user

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MOST_KEYS = 200
MOST_MODELS = 100
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,62}")
LONGEST_OVERLAP = timedelta(days=7)
BOOTSTRAP_FOR = timedelta(hours=1)
BOOTSTRAP_SCOPES = frozenset(
    {Permission.USER_READ, Permission.USER_MANAGE, Permission.STAFF_READ, Permission.STAFF_MANAGE}
)


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key and its secret, for the one moment at which both are known."""

    key: ApiKey
    secret: str


def note_keys_used(*, ids: Iterable[str]) -> None:
    """The gateway has served these keys just now."""
    ApiKey.objects.filter(pk__in=list(ids)).update(last_used_at=Now())


@transaction.atomic
def create_api_key(
    *, actor: Actor, team: Team | None, wish: KeyWish, workspace: Workspace | None = None
) -> IssuedKey:
    """Make a key for a team (or one of its workspaces), or without a team for staff work.

    It may do what the wish names, all of which its creator must hold; a key's key is no freer than itself.
    """
    _require_to_create(actor, team, workspace)
    scopes = _checked_scopes(actor, team, wish)
    _require_sound(wish)
    _require_no_freer(actor, wish)
    if ApiKey.objects.filter(team=team, user_id=actor.user_id).live(db_now()).count() >= MOST_KEYS:
        raise Conflict(f"{MOST_KEYS} keys are the most one can have.", code="too_many_keys")
    minted = mint()
    key = ApiKey.objects.create(
        team=team, workspace=workspace, user_id=actor.user_id, name=wish.name.strip(), prefix=minted.prefix,
        hash=minted.hash, scopes=scopes, allowed_networks=_networks(wish.allowed_networks),
        single_use=wish.single_use, expires_at=wish.expires_at, models=_models(wish.models),
    )  # fmt: skip
    audit.record(actor=actor, action="api_key.created", target=key, scopes=scopes, prefix=key.prefix)
    signals.api_key_created.send(ApiKey, key=key, actor=actor)
    return IssuedKey(key, minted.secret)


@transaction.atomic
def rotate_api_key(*, actor: Actor, key: ApiKey, overlap: timedelta = timedelta(days=1)) -> IssuedKey:
    """Make a key like this one; this one ends after the overlap. Only its owner can."""
    key = _locked(key)
    _require_rule(actor, key)
    now = db_now()
    if key.user_id != actor.user_id:
        raise NotPermitted("Only who made a key may rotate it.")
    if not timedelta() <= overlap <= LONGEST_OVERLAP:
        raise Invalid("The overlap is at most seven days.", field="overlap")
    if key.revoked_at or (key.expires_at and key.expires_at <= now):
        raise Conflict("This key is no longer good.", code="key_ended")
    held = frozenset(key.scopes) & grantable(actor, key.team)
    wish = KeyWish(key.name, frozenset(held), key.expires_at, tuple(key.allowed_networks), tuple(key.models))
    issued = create_api_key(actor=actor, team=key.team, wish=wish, workspace=key.workspace)
    issued.key.rotated_from = key
    issued.key.save(update_fields=["rotated_from"])
    key.expires_at = min(now + overlap, key.expires_at or now + overlap)
    key.save(update_fields=["expires_at"])
    audit.record(actor=actor, action="api_key.rotated", target=key, successor=issued.key.pk)
    return issued


@transaction.atomic
def revoke_api_key(*, actor: Actor, key: ApiKey) -> ApiKey:
    """End a key now. One's own, or anybody's in the team for who manages members; again is harmless."""
    key = _locked(key)
    _require_rule(actor, key)
    if key.user_id != actor.user_id and key.team:
        actor.require(Permission.MEMBER_MANAGE, key.team.scope)
    if key.revoked_at is None:
        key.revoked_at = db_now()
        key.save(update_fields=["revoked_at"])
        audit.record(actor=actor, action="api_key.revoked", target=key, prefix=key.prefix)
        signals.api_key_revoked.send(ApiKey, key=key, actor=actor)
    return key


@transaction.atomic
def bootstrap_administrator(*, actor: Actor, email: str) -> IssuedKey:
    """The first full administrator and a key that works once, within the hour; only while there is none."""
    actor.require(Permission.STAFF_MANAGE)
    if has_full_administrator():
        raise Conflict("There is a full administrator already.", code="already_set_up")
    user = User.objects.filter(email__iexact=email.strip()).first()
    user = user or register_user(actor=actor, email=email, is_confirmed=True)
    grant_staff_role(actor=actor, user=user, role=Role.FULL_ADMINISTRATOR)
    wish = KeyWish(
        "bootstrap", frozenset(BOOTSTRAP_SCOPES), expires_at=db_now() + BOOTSTRAP_FOR, single_use=True
    )
    holder = Actor(user.label, actor.grants, kind="user", user_id=user.pk)
    return create_api_key(actor=holder, team=None, wish=wish)


def _require_to_create(actor: Actor, team: Team | None, workspace: Workspace | None) -> None:
    if team is None:
        if not grantable(actor, None):
            raise NotPermitted("Only staff can have a key without a team.")
        return
    actor.require(Permission.API_KEY_MANAGE, team.scope)
    if workspace is not None and workspace.team_id != team.pk:
        raise NotFound("There is no such workspace.")
    if actor.workspace_id and (workspace is None or workspace.pk != actor.workspace_id):
        raise ScopeExceeded("A key of a workspace makes keys for that workspace only.", field="workspace")
    if not Membership.objects.filter(team=team, user_id=actor.user_id).exists():
        raise NotPermitted("Only members of a team can make keys for it.")


def _checked_scopes(actor: Actor, team: Team | None, wish: KeyWish) -> list[str]:
    beyond = sorted(wish.scopes - {str(one) for one in grantable(actor, team)})
    if beyond:
        raise ScopeExceeded(f"You do not hold {', '.join(beyond)} yourself.", field="scopes", beyond=beyond)
    if not wish.scopes:
        raise Invalid("A key needs at least one scope.", field="scopes")
    return sorted(str(one) for one in wish.scopes)


def _require_sound(wish: KeyWish) -> None:
    name = wish.name.strip()
    if not 1 <= len(name) <= 80 or not name.isprintable():
        raise Invalid("A key's name has 1 to 80 characters.", field="name")
    if wish.expires_at is not None and wish.expires_at <= db_now():
        raise Invalid("The key would have run out already.", field="expires_at")


def _require_no_freer(actor: Actor, wish: KeyWish) -> None:
    """What a key makes ends no later, is used from no other networks and calls no other models."""
    maker = ApiKey.objects.filter(pk=actor.key_id).first() if actor.key_id else None
    if maker is None:
        return
    if maker.expires_at and (wish.expires_at is None or wish.expires_at > maker.expires_at):
        raise ScopeExceeded("A key makes no key that outlives it.", field="expires_at")
    own = [ipaddress.ip_network(one) for one in maker.allowed_networks]
    wished = [ipaddress.ip_network(one) for one in _networks(wish.allowed_networks)]
    if own and not (wished and all(_lies_in(one, own) for one in wished)):
        raise ScopeExceeded("A key makes keys for its own networks only.", field="allowed_networks")
    if maker.models and not (wish.models and set(_models(wish.models)) <= set(maker.models)):
        raise ScopeExceeded("A key makes keys for its own models only.", field="models")


def _lies_in(network: Network, others: Iterable[Network]) -> bool:
    return any(network.version == one.version and network.subnet_of(one) for one in others)  # type: ignore[arg-type]


def _networks(given: Iterable[str]) -> list[str]:
    """The networks in their one spelling; a plain address is a network of one."""
    try:
        return sorted({str(ipaddress.ip_network(one.strip())) for one in given})
    except ValueError as error:
        raise Invalid(
            "Give addresses or networks such as 203.0.113.7 or 203.0.113.0/24.", field="allowed_networks"
        ) from error


def _models(given: Iterable[str]) -> list[str]:
    """The names of models, each once."""
    names = sorted({one.strip() for one in given if one.strip()})
    if len(names) > MOST_MODELS or any(not _MODEL_NAME.fullmatch(one) for one in names):
        raise Invalid(f"Name at most {MOST_MODELS} models, as callers write them.", field="models")
    return names


def _require_rule(actor: Actor, key: ApiKey) -> None:
    """A team's keys by the permission in the team; a staff key by whoever holds it."""
    if key.team is not None:
        actor.require(Permission.API_KEY_MANAGE, key.team.scope)
    elif key.user_id != actor.user_id:
        actor.require(Permission.STAFF_MANAGE)


def _locked(key: ApiKey) -> ApiKey:
    rows = ApiKey.objects.select_related("team", "workspace", "user").select_for_update(of=("self",))
    found: ApiKey | None = rows.filter(pk=key.pk).first()
    if found is None:
        raise NotFound("There is no such API key.")
    return found
