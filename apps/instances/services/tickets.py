"""Tickets that open a terminal or a console: one use, half a minute, one person, machine and origin."""

import hashlib
import secrets
from datetime import timedelta
from decimal import Decimal
from urllib.parse import urlsplit

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.rating import seconds_between
from apps.billing.services import counting
from apps.billing.services.counting import Counted
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.errors import Invalid, NotPermitted
from apps.core.permissions import Permission
from apps.instances.errors import BadTicket, WrongState
from apps.instances.models import Instance, Ticket
from apps.instances.services.wishes import lock
from apps.instances.specs import Admission
from apps.instances.states import Access, State

LIFE = timedelta(seconds=30)
MICRO = Decimal("1e-6")
_OPENABLE = {
    Access.TERMINAL: (State.RUNNING,),
    Access.CONSOLE: (State.RUNNING, State.PROVISIONING, State.STARTING, State.STOPPING),
}


def issue_terminal_ticket(*, actor: Actor, instance_id: str, origin: str) -> str:
    """The secret of a ticket for a shell on the machine; say it to the WebSocket within 30 s."""
    return _issue(actor, instance_id, origin, Access.TERMINAL)


def issue_console_ticket(*, actor: Actor, instance_id: str, origin: str) -> str:
    """The secret of a ticket for the machine's serial console."""
    return _issue(actor, instance_id, origin, Access.CONSOLE)


@transaction.atomic
def redeem_ticket(*, secret: str, origin: str, access: str) -> Admission:
    """Use a ticket up; raises BadTicket for one that is unknown, used, expired or meant for another place.

    The caller sees everything (the ticket says who is meant), and closes what it opened as soon as
    `may_stay` says no.
    """
    tickets = Ticket.objects.filter(secret_hash=_hash(secret), used_at=None, expires_at__gt=Now())
    found = tickets.select_for_update(of=("self",)).select_related("instance").first()
    if found is None or found.access != access or not secrets.compare_digest(found.origin, _origin(origin)):
        raise BadTicket(_("This ticket is not good (any more). Open the terminal again."))
    Ticket.objects.filter(pk=found.pk).update(used_at=Now())
    instance: Instance = found.instance
    if instance.state not in _OPENABLE[Access(access)]:
        raise WrongState(_("The machine does not run."), state=str(instance.state))
    person = Actor(found.actor_label, kind="user", user_id=found.user_id)
    audit.record(actor=person, action=f"instance.{access}_opened", target=instance)
    return Admission(
        ticket_id=found.pk,
        opened_at=db_now(),
        instance_id=str(instance.pk),
        instance_name=instance.name,
        team_id=instance.team_id,
        user_id=found.user_id,
        actor_label=found.actor_label,
        access=access,
        state=str(instance.state),
        address=instance.address,
        port=instance.ssh_port,
        user=instance.user,
        host_key=instance.host_key,
        private_key=instance.private_key if access == Access.TERMINAL else "",
    )


@transaction.atomic
def note_closed(*, admission: Admission, recording: str, sha256: str, reason: str) -> None:
    """Note that what a ticket opened is closed, with the hash of its recording; terminals are charged for."""
    instance = Instance.objects.get(pk=admission.instance_id)
    person = Actor(admission.actor_label, kind="user", user_id=admission.user_id)
    said = {"recording": recording, "sha256": sha256, "reason": reason}
    audit.record(actor=person, action=f"instance.{admission.access}_closed", target=instance, **said)
    if admission.access == Access.TERMINAL:
        now = db_now()
        minutes = seconds_between(admission.opened_at, now) / 60
        where = (instance.team_id, instance.workspace_id, str(instance.pk))
        used = Counted("terminal_minutes", admission.ticket_id, *where, minutes.quantize(MICRO), now)
        counting.count(used=used)


@transaction.atomic
def forget_tickets() -> int:
    """Remove tickets that can no longer be used."""
    removed, _details = Ticket.objects.filter(expires_at__lt=Now()).delete()
    return int(removed)


@transaction.atomic
def _issue(actor: Actor, instance_id: str, origin: str, access: Access) -> str:
    instance = lock(actor=actor, instance_id=instance_id, permission=Permission.INSTANCE_ACCESS)
    if actor.user_id is None:
        raise NotPermitted(_("Only a person can open a terminal."))
    if instance.state not in _OPENABLE[access]:
        raise WrongState(_("The machine does not run."), state=str(instance.state))
    secret = secrets.token_urlsafe(32)
    Ticket.objects.create(
        instance=instance,
        team_id=instance.team_id,
        region_id=instance.region_id,
        user_id=actor.user_id,
        actor_label=actor.label[:200],
        access=access,
        origin=_origin(origin),
        secret_hash=_hash(secret),
        expires_at=db_now() + LIFE,
    )
    return secret


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _origin(text: str) -> str:
    """Scheme, host and port, as browsers spell an origin."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or len(text) > 255:
        raise Invalid(_("This is not the origin of a page."), field="origin")
    return f"{parts.scheme}://{parts.netloc}".lower()
