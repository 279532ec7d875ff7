"""Invitations: sent by mail, good for a week, used once, and only by whom they were sent to."""

import secrets
from dataclasses import dataclass
from smtplib import SMTPException

import structlog
from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import send_mail
from django.core.validators import validate_email
from django.db import transaction
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.core import tenancy
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.errors import Conflict, Invalid
from apps.core.permissions import Permission, Role
from apps.teams import signals
from apps.teams.errors import BadInvitation
from apps.teams.models import Invitation, Membership, Team
from apps.teams.selectors.invitations import GOOD_FOR, find_invitation, hash_of, signed_token
from apps.teams.selectors.rows import role_to_give
from apps.teams.states import TeamState
from apps.users.models import User

MOST_OPEN = 100
ADDRESS = "/invitations/"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Invited:
    """An invitation and its link, which exists nowhere else."""

    invitation: Invitation
    url: str


@transaction.atomic
def invite_member(*, actor: Actor, team: Team, email: str, role: Role) -> Invited:
    """Ask somebody by mail to join; a second invitation to the same address replaces the first."""
    actor.require(Permission.MEMBER_MANAGE, team.scope)
    email, now, role = _valid_email(email), db_now(), role_to_give(actor, team, role)
    if Membership.objects.filter(team=team, user__email__iexact=email).exists():
        raise Conflict("This person is in the team already.", code="already_member", field="email")
    Team.objects.select_for_update(of=("self",)).get(pk=team.pk)
    Invitation.objects.filter(team=team, email__iexact=email, accepted_at=None, revoked_at=None).update(
        revoked_at=now
    )
    if Invitation.objects.filter(team=team).pending(now).count() >= MOST_OPEN:
        raise Conflict(f"A team has at most {MOST_OPEN} open invitations.", code="too_many_invitations")
    secret = secrets.token_urlsafe(24)
    invitation = Invitation.objects.create(
        team=team, email=email, role=role, invited_by_id=actor.user_id,
        secret_hash=hash_of(secret), expires_at=now + GOOD_FOR,
    )  # fmt: skip
    audit.record(actor=actor, action="member.invited", target=team, email=email, role=role)
    token = signed_token(invitation, secret)
    invited = Invited(invitation, f"{settings.PUBLIC_URL.rstrip('/')}{ADDRESS}{token}")
    transaction.on_commit(lambda: _send(invited, team, actor))
    return invited


@transaction.atomic
def revoke_invitation(*, actor: Actor, invitation: Invitation) -> None:
    actor.require(Permission.MEMBER_MANAGE, invitation.team.scope)
    open_rows = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, revoked_at=None)
    if not open_rows.update(revoked_at=db_now()):
        raise Conflict("This invitation is no longer open.", code="not_open")
    audit.record(
        actor=actor, action="member.invitation_revoked", target=invitation.team, email=invitation.email
    )


@transaction.atomic
def accept_invitation(*, actor: Actor, token: str) -> Membership:
    """Join by the link in the mail; it must be the invited, confirmed address that comes with it."""
    user = User.objects.filter(pk=actor.user_id or None, is_active=True).first()
    if user is None or actor.kind != "user":
        raise BadInvitation("Sign in first.")
    with tenancy.everything():
        invitation = find_invitation(token, lock=True)
        if not _owns(user, invitation.email):
            raise BadInvitation("This invitation was sent to another address.", code="other_address")
        member = _join(actor, user, invitation)
    tenancy.include(member.team_id)
    return member


@transaction.atomic
def accept_open_invitations(*, actor: Actor, user: User) -> list[Membership]:
    """Join every team that waits for a confirmed address of this person."""
    if actor.user_id != user.pk:
        actor.require(Permission.USER_MANAGE)
    addresses = EmailAddress.objects.filter(user=user, verified=True).values_list("email", flat=True)
    lower = [address.lower() for address in addresses]
    with tenancy.everything():
        waiting = Invitation.objects.pending(db_now()).filter(email__in=lower)
        rows = (
            waiting.exclude(team__state=TeamState.CLOSED)
            .select_related("team")
            .select_for_update(of=("self",))
        )
        return [_join(actor, user, invitation) for invitation in rows.order_by("pk")]


def _join(actor: Actor, user: User, invitation: Invitation) -> Membership:
    invitation.accepted_at = db_now()
    invitation.save(update_fields=["accepted_at"])
    member, is_new = Membership.objects.get_or_create(
        team=invitation.team, user=user, defaults={"role": invitation.role}
    )
    if is_new:
        audit.record(
            actor=actor, action="member.joined", target=invitation.team, user=user.email, role=member.role
        )
        signals.membership_changed.send(
            Membership, team=invitation.team, user=user, role=member.role, actor=actor
        )
    return member


def _owns(user: User, email: str) -> bool:
    found: bool = EmailAddress.objects.filter(user=user, verified=True, email__iexact=email).exists()
    return found


def _valid_email(email: str) -> str:
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError as error:
        raise Invalid("This is not an e-mail address.", field="email") from error
    return email


def _send(invited: Invited, team: Team, actor: Actor) -> None:
    """Mail the link. A mail server that is down is logged; the inviter has the link on the page."""
    words = {"team": team, "inviter": actor.label, "url": invited.url, "invitation": invited.invitation}
    subject = _("%(inviter)s invites you to %(team)s") % {"inviter": actor.label, "team": team.name}
    body = render_to_string("emails/invitation.txt", words)
    try:
        send_mail(" ".join(subject.split()), body, None, [invited.invitation.email])
    except (SMTPException, OSError) as error:
        log.warning("invitation_not_mailed", invitation=invited.invitation.pk, error=str(error))
