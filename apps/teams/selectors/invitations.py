"""Finding the invitation behind a link."""

import hashlib
import secrets
from datetime import datetime, timedelta

from django.core import signing

from apps.core import tenancy
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.teams.errors import BadInvitation
from apps.teams.models import Invitation, Team
from apps.teams.states import TeamState

GOOD_FOR = timedelta(days=7)
_SALT = "hostedai.invitation"


def signed_token(invitation: Invitation, secret: str) -> str:
    """What the link carries; the signature turns garbage away before the database is asked."""
    return signing.dumps([invitation.pk, secret], salt=_SALT)


def hash_of(secret: object) -> str:
    return hashlib.sha256(str(secret).encode()).hexdigest()


def preview_invitation(token: str) -> Invitation:
    """The open invitation behind a link, for whoever holds the link; raises BadInvitation."""
    with tenancy.everything():
        return find_invitation(token)


def joined_by(actor: Actor, token: str) -> Team | None:
    """The team that the link was for, once its invitation is used and the actor is a member there."""
    with tenancy.everything():
        try:
            invitation = _behind(token)
        except BadInvitation:
            return None
        is_in = invitation.team.memberships.filter(user_id=actor.user_id).exists()
    return invitation.team if invitation.accepted_at and is_in else None


def find_invitation(token: str, *, lock: bool = False) -> Invitation:
    """The open invitation behind a link; raises BadInvitation. The caller has opened the scope."""
    invitation = _behind(token, lock=lock)
    if not _is_open(invitation, db_now()):
        raise BadInvitation("This invitation was used or withdrawn, or it has run out.")
    return invitation


def _behind(token: str, *, lock: bool = False) -> Invitation:
    try:
        key, secret = signing.loads(token, salt=_SALT, max_age=GOOD_FOR)
    except (signing.BadSignature, ValueError, TypeError) as error:
        raise BadInvitation("This invitation is not valid, or it has run out.") from error
    rows = Invitation.objects.select_related("team", "invited_by")
    rows = rows.select_for_update(of=("self",)) if lock else rows
    invitation: Invitation | None = rows.filter(pk=key).first()
    if invitation is None or not secrets.compare_digest(invitation.secret_hash, hash_of(secret)):
        raise BadInvitation("This invitation is not valid, or it has run out.")
    return invitation


def _is_open(invitation: Invitation, now: datetime) -> bool:
    return (
        invitation.accepted_at is None
        and invitation.revoked_at is None
        and invitation.expires_at > now
        and invitation.team.state != TeamState.CLOSED
    )
