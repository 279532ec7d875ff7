"""Finding people, their staff roles and their keys."""

from collections.abc import Mapping
from typing import Any

from allauth.usersessions.models import UserSession
from django.db.models import QuerySet

from apps.core.actor import PLATFORM, Actor, region_scope
from apps.core.errors import NotFound
from apps.core.permissions import Permission, Role
from apps.users.models import SavedList, SshKey, StaffRole, User


def people(actor: Actor) -> QuerySet[User]:
    """Everybody, for staff who may know; otherwise nobody but oneself."""
    if actor.can(Permission.USER_READ, PLATFORM):
        return User.objects.order_by("email")
    return User.objects.filter(pk=actor.user_id or None)


def person(actor: Actor, user_id: str) -> User:
    found = people(actor).filter(pk=user_id).first()
    if found is None:
        raise NotFound("There is no such person.")
    return found


def staff_roles(actor: Actor) -> QuerySet[StaffRole]:
    """Who holds which role on the platform and in regions, as far as the actor may know."""
    rows = StaffRole.objects.select_related("user").order_by("user__email", "role", "region_slug")
    if actor.can(Permission.STAFF_READ, PLATFORM):
        return rows
    return rows.filter(user_id=actor.user_id or None)


def staff_of_region(actor: Actor, region_id: str) -> QuerySet[StaffRole]:
    """Who holds a role in one region, for those who have one there."""
    actor.require(Permission.REGION_READ, region_scope(region_id))
    rows = StaffRole.objects.filter(region_id=region_id).select_related("user")
    return rows.order_by("user__email", "role")


def staff_role(actor: Actor, role_id: str) -> StaffRole:
    found = staff_roles(actor).filter(pk=role_id).first()
    if found is None:
        raise NotFound("There is no such role.")
    return found


def ssh_keys(actor: Actor) -> QuerySet[SshKey]:
    """The actor's own keys; nobody else's, whatever the role."""
    return SshKey.objects.filter(user_id=actor.user_id or None)


def ssh_key(actor: Actor, key_id: str) -> SshKey:
    found = ssh_keys(actor).filter(pk=key_id).first()
    if found is None:
        raise NotFound("There is no such SSH key.")
    return found


def sessions(actor: Actor) -> list[UserSession]:
    """Where the actor is signed in, latest use first; rows whose session has run out are dropped."""
    user = User.objects.filter(pk=actor.user_id or None).first()
    found = UserSession.objects.purge_and_list(user) if user else []
    return sorted(found, key=lambda one: one.last_seen_at, reverse=True)


def proven_at(session: Mapping[str, Any], user_id: str) -> float:
    """When (Unix seconds) the person behind a session last proved who they are.

    That is when the session began, by whatever way of signing in, or a later proof; 0 when never.
    """
    began = float(session.get("began", 0))
    if session.get("account_authentication_methods_user") != user_id:
        return began
    proofs = session.get("account_authentication_methods") or []
    return max([began, *(float(one.get("at", 0)) for one in proofs)])


def has_full_administrator() -> bool:
    """Whether the platform has anybody in charge yet."""
    return StaffRole.objects.filter(role=Role.FULL_ADMINISTRATOR, user__is_active=True).exists()


def saved_lists(actor: Actor, page: str) -> QuerySet[SavedList]:
    """How the actor likes to see one list."""
    return SavedList.objects.filter(user_id=actor.user_id or None, page=page)
