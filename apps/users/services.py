"""People come, change and go; staff roles are granted and revoked; SSH keys are kept."""

from collections.abc import Iterator
from contextlib import contextmanager

import pgtrigger
from allauth.account.models import EmailAddress
from allauth.usersessions.models import UserSession
from django.db import IntegrityError, transaction

from apps.audit import services as audit
from apps.core import tenancy
from apps.core.actor import Actor
from apps.core.errors import Conflict, Invalid, NotFound, NotPermitted
from apps.core.permissions import PLATFORM_ROLES, REGION_ROLES, Permission, Role
from apps.users import signals
from apps.users.errors import DuplicateKey, EmailTaken, LastAdministrator
from apps.users.models import SavedList, SshKey, StaffRole, User
from apps.users.specs import LONGEST_LIST_NAME, LONGEST_LIST_QUERY, parse_public_key

MOST_SSH_KEYS = 50
MOST_SAVED_LISTS = 12  # of one page: they stand beside one another as tabs


@transaction.atomic
def register_user(
    *, actor: Actor, email: str, name: str = "", password: str | None = None, is_confirmed: bool = True
) -> User:
    """Make a person from outside the sign-up page: by staff, a command or the demonstration data."""
    actor.require(Permission.USER_MANAGE)
    email = email.strip().lower()
    if User.objects.filter(email__iexact=email).exists():
        raise EmailTaken("Somebody has signed up with this address already.", field="email")
    user = User.objects.create_user(email, password, name=name)
    EmailAddress.objects.create(user=user, email=email, primary=True, verified=is_confirmed)
    audit.record(actor=actor, action="user.registered", target=user)
    return user


@transaction.atomic
def note_deed(*, actor: Actor, action: str, user: User) -> None:
    """Record what a person did at the door; their scope is not open yet, or no longer."""
    if actor.user_id != user.pk:
        actor.require(Permission.USER_MANAGE)
    with tenancy.everything():
        audit.record(actor=actor, action=action, target=user)


@transaction.atomic
def update_profile(*, actor: Actor, name: str, language: str, time_zone: str) -> User:
    """Change how the actor is called and spoken to."""
    user = _own_row(actor)
    user.name, user.language, user.time_zone = name.strip(), language, time_zone
    user.save(update_fields=["name", "language", "time_zone"])
    audit.record(actor=actor, action="user.updated", target=user)
    return user


@transaction.atomic
def deactivate_user(*, actor: Actor, user: User, reason: str) -> User:
    """Shut a person out; sessions and keys end with the next request."""
    actor.require(Permission.USER_MANAGE)
    _require_rank(actor, user)
    if actor.user_id == user.pk:
        raise Conflict("You cannot shut yourself out.", code="own_account")
    user = _locked(user)
    user.is_active = False
    with _keeping_an_administrator("users.User:last_administrator_active"):
        user.save(update_fields=["is_active"])
    audit.record(actor=actor, action="user.deactivated", target=user, reason=reason)
    signals.user_deactivated.send(User, user=user, actor=actor)
    return user


@transaction.atomic
def reactivate_user(*, actor: Actor, user: User) -> User:
    actor.require(Permission.USER_MANAGE)
    _require_rank(actor, user)
    user = _locked(user)
    user.is_active = True
    user.save(update_fields=["is_active"])
    audit.record(actor=actor, action="user.reactivated", target=user)
    return user


@transaction.atomic
def end_sessions(*, actor: Actor, user: User, but: str = "") -> int:
    """Sign a person out everywhere, but from the session with that key; returns from how many places."""
    if actor.user_id != user.pk:
        actor.require(Permission.USER_MANAGE)
        _require_rank(actor, user)
    sessions = list(UserSession.objects.filter(user=user).exclude(session_key=but))
    for session in sessions:
        session.end()
    audit.record(actor=actor, action="user.sessions_ended", target=user, sessions=len(sessions))
    return len(sessions)


@transaction.atomic
def end_session(*, actor: Actor, session_id: int) -> None:
    """Sign the actor's own browser out, wherever it is."""
    user = _own_row(actor)
    session = UserSession.objects.filter(user=user, pk=session_id).first()
    if session is None:
        raise NotFound("There is no such session.")
    session.end()
    audit.record(actor=actor, action="user.session_ended", target=user, browser=session.user_agent[:100])


@transaction.atomic
def grant_staff_role(
    *, actor: Actor, user: User, role: Role, region_id: str | None = None, region_slug: str = ""
) -> StaffRole:
    """Give a person a role on the platform or, for region roles, in one region; twice is once."""
    actor.require(Permission.STAFF_MANAGE)
    _require_place(role, region_id, region_slug)
    held, is_new = StaffRole.objects.get_or_create(
        user=user,
        role=role,
        region_id=region_id,
        defaults={"region_slug": region_slug, "granted_by": actor.label},
    )
    if is_new:
        audit.record(
            actor=actor,
            action="staff.granted",
            target=user,
            region_id=region_id,
            role=role,
            region=region_slug,
        )
        signals.staff_role_changed.send(
            StaffRole, user=user, role=role, region_id=region_id, granted=True, actor=actor
        )
    return held


@transaction.atomic
def revoke_staff_role(*, actor: Actor, held: StaffRole) -> None:
    """Take a role away; the last full administrator keeps theirs."""
    actor.require(Permission.STAFF_MANAGE)
    user, role, region_id = held.user, Role(held.role), held.region_id
    with _keeping_an_administrator("users.StaffRole:last_administrator"):
        removed, _by_kind = StaffRole.objects.filter(pk=held.pk).delete()
    if not removed:
        raise NotFound("There is no such role.")
    audit.record(
        actor=actor,
        action="staff.revoked",
        target=user,
        region_id=region_id,
        role=role,
        region=held.region_slug,
    )
    signals.staff_role_changed.send(
        StaffRole, user=user, role=role, region_id=region_id, granted=False, actor=actor
    )


@transaction.atomic
def add_ssh_key(*, actor: Actor, name: str, public_key: str) -> SshKey:
    """Keep a public key of the actor's, written anew without options or comment."""
    user = _own_row(actor)
    parsed = parse_public_key(public_key)
    name = (name.strip() or parsed.comment or parsed.kind)[:80]
    kept = user.ssh_keys.all()
    if kept.filter(fingerprint=parsed.fingerprint).exists():
        raise DuplicateKey("You have this key already.", field="public_key")
    if kept.filter(name=name).exists():
        raise DuplicateKey("You have another key of this name.", field="name")
    if kept.count() >= MOST_SSH_KEYS:
        raise Conflict(f"{MOST_SSH_KEYS} keys are the most one can have.", code="too_many_keys")
    key = SshKey.objects.create(
        user=user, name=name, kind=parsed.kind, public_key=parsed.line, fingerprint=parsed.fingerprint
    )
    audit.record(actor=actor, action="ssh_key.added", target=key, fingerprint=key.fingerprint)
    return key


@transaction.atomic
def delete_ssh_key(*, actor: Actor, key: SshKey) -> None:
    """Forget a key; machines that have it already keep it."""
    user = _own_row(actor)
    if key.user_id != user.pk:
        raise NotFound("There is no such SSH key.")
    audit.record(actor=actor, action="ssh_key.deleted", target=key, fingerprint=key.fingerprint)
    key.delete()


def _own_row(actor: Actor) -> User:
    """The actor's own account, locked. A key gets at it only when it may put keys on machines anyway."""
    may_touch = actor.kind == "user" or actor.scopes(Permission.INSTANCE_CREATE, "team")
    if not actor.user_id or not may_touch:
        raise NotPermitted("This belongs to a person's own account.")
    return User.objects.select_for_update(of=("self",)).get(pk=actor.user_id)


def _locked(user: User) -> User:
    return User.objects.select_for_update(of=("self",)).get(pk=user.pk)


def _require_rank(actor: Actor, user: User) -> None:
    """Only who manages staff may shut staff out or let them in."""
    if user.staff_roles.exists():
        actor.require(Permission.STAFF_MANAGE)


def _require_place(role: Role, region_id: str | None, region_slug: str) -> None:
    if role not in PLATFORM_ROLES + REGION_ROLES:
        raise Invalid("This is a role in a team, not a staff role.", field="role")
    if (role in REGION_ROLES) != bool(region_id and region_slug):
        raise Invalid("Region roles need a region, platform roles have none.", field="region")


@contextmanager
def _keeping_an_administrator(trigger: str) -> Iterator[None]:
    """Ask the database at once whether a full administrator remains, and say its refusal in our words."""
    pgtrigger.constraints(pgtrigger.Immediate, trigger)
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        raise LastAdministrator("This is the last full administrator; name another one first.") from error


@transaction.atomic
def save_list(*, actor: Actor, page: str, name: str, query: str) -> SavedList:
    """Keep a list's filters, order and columns under a name; the same name again replaces them."""
    user = _own_row(actor)
    name = name.strip()
    if not name:
        raise Invalid("Give the view a name.", field="name")
    if len(name) > LONGEST_LIST_NAME or len(query) > LONGEST_LIST_QUERY:
        raise Invalid("This is too long to keep.", field="name")
    others = SavedList.objects.filter(user=user, page=page).exclude(name=name)
    if others.count() >= MOST_SAVED_LISTS:
        raise Conflict(f"A list keeps {MOST_SAVED_LISTS} views; remove one first.")
    kept, _made = SavedList.objects.update_or_create(
        user=user, page=page, name=name, defaults={"query": query}
    )
    return kept


@transaction.atomic
def forget_list(*, actor: Actor, page: str, list_id: str) -> None:
    """Remove a saved view of one's own."""
    user = _own_row(actor)
    SavedList.objects.filter(user=user, page=page, pk=list_id).delete()
