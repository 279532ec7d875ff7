"""Webhooks are made, changed, paused, resumed and deleted; their secrets are shown once and kept sealed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.core.actor import Actor
from apps.core.errors import NotFound
from apps.core.leases import in_time
from apps.core.permissions import Permission
from apps.drivers.egress import networks_of
from apps.drivers.hooks.signing import new_secret
from apps.operations.errors import HookPaused, TooManyHooks
from apps.operations.models import Webhook
from apps.operations.selectors import here
from apps.operations.services.outbox import emit
from apps.operations.specs import HookWish, check_hook
from apps.operations.states import HOOK, HookState, Pause
from apps.teams.models import Team

MOST = 10  # of a team
OVERLAP = timedelta(hours=24)  # so long the secret before signs too
# What begins anew when somebody has seen to a webhook.
_AFRESH: dict[str, Any] = {"attempts": 0, "deadline_at": None, "last_error": ""}


@dataclass(frozen=True, slots=True)
class IssuedSecret:
    """A webhook and its secret, for the one moment at which both are known."""

    webhook: Webhook
    secret: str


@transaction.atomic
def create_webhook(*, actor: Actor, team: Team, wish: HookWish) -> IssuedSecret:
    """Have the team's events sent to an address, from now on."""
    actor.require(Permission.WEBHOOK_MANAGE, team.scope)
    wish = check_hook(wish, networks_of(settings.WEBHOOK_NETWORKS))
    Team.objects.select_for_update(no_key=True, of=("self",)).get(pk=team.pk)  # one counts at a time
    if Webhook.objects.filter(team=team).count() >= MOST:
        raise TooManyHooks(_("%(most)d webhooks are the most a team can have.") % {"most": MOST})
    now, secret = here(), new_secret()
    webhook = Webhook(
        team=team, name=wish.name, url=wish.url, types=list(wish.types), read_txid=now.txid, read_seq=now.seq,
        created_by_label=actor.label[:200],
    )  # fmt: skip
    webhook.secret = webhook.sealed(secret)
    webhook.save(force_insert=True)
    _note(actor, webhook, "created")
    return IssuedSecret(webhook, secret)


@transaction.atomic
def change_webhook(
    *,
    actor: Actor,
    webhook_id: str,
    name: str | None = None,
    url: str | None = None,
    types: Sequence[str] | None = None,
) -> Webhook:
    """Another name, address or choice of events, from the next event on. What waits is tried at once."""
    webhook = _locked(actor, webhook_id)
    wish = HookWish(name or webhook.name, url or webhook.url, webhook.types if types is None else types)
    wish = check_hook(wish, networks_of(settings.WEBHOOK_NETWORKS))
    values = {"name": wish.name, "url": wish.url, "types": list(wish.types)}
    return _write(actor, webhook, "changed", **values, **_AFRESH, due_at=Now())


@transaction.atomic
def pause_webhook(*, actor: Actor, webhook_id: str) -> Webhook:
    """Send nothing until it is resumed; what happens meanwhile waits, for as long as events are kept."""
    webhook = _locked(actor, webhook_id)
    return _pause(actor, webhook, Pause.BY_HAND)


@transaction.atomic
def resume_webhook(*, actor: Actor, webhook_id: str, is_from_now: bool = False) -> Webhook:
    """Go on where it stopped, or leave out what happened meanwhile."""
    webhook = _locked(actor, webhook_id)
    state = HOOK.target("resume", webhook.state)
    values: dict[str, Any] = {"state": state, "state_at": Now(), "paused_because": "", "told_at": None}
    if is_from_now:
        now = here()
        # A worker that is still at it does not bring it back to where it was.
        values |= {"read_txid": now.txid, "read_seq": now.seq, "lease_token": None, "lease_until": None}
    return _write(actor, webhook, "resumed", **values, **_AFRESH, due_at=Now())


@transaction.atomic
def rotate_webhook(*, actor: Actor, webhook_id: str) -> IssuedSecret:
    """A new secret. The one before signs too for a day, so that receivers can change over in between."""
    webhook, secret = _locked(actor, webhook_id), new_secret()
    values = {"old_secret": webhook.secret, "secret": webhook.sealed(secret), "old_until": in_time(OVERLAP)}
    return IssuedSecret(_write(actor, webhook, "rotated", **values), secret)


@transaction.atomic
def send_test(*, actor: Actor, webhook_id: str) -> Webhook:
    """Send an event that says nothing, behind what waits; what waits is tried at once."""
    webhook = _locked(actor, webhook_id)
    if webhook.state != HookState.ACTIVE:
        raise HookPaused(_("It is paused: resume it first."))
    return _write(actor, webhook, "test", due_at=Now())


@transaction.atomic
def delete_webhook(*, actor: Actor, webhook_id: str) -> None:
    """Send nothing any more; what waits is dropped."""
    webhook = _locked(actor, webhook_id)
    _note(actor, webhook, "deleted")
    webhook.delete()


@transaction.atomic
def delete_webhooks_of(*, actor: Actor, team: Team) -> None:
    """A closed team has nothing to be told of."""
    actor.require(Permission.TEAM_SUSPEND)
    for webhook in Webhook.objects.select_for_update(of=("self",)).filter(team=team).order_by("pk"):
        _note(actor, webhook, "deleted")
        webhook.delete()


@transaction.atomic
def give_up(*, actor: Actor, webhook_id: str, why: Pause) -> None:
    """Pause one whose receiver is gone; its admins are mailed once."""
    actor.require(Permission.WEBHOOK_MANAGE)
    webhook = Webhook.objects.select_for_update(of=("self",)).filter(pk=webhook_id).active().first()
    if webhook is not None:
        _pause(actor, webhook, why)


def _pause(actor: Actor, webhook: Webhook, why: Pause) -> Webhook:
    state = HOOK.target("pause", webhook.state)
    return _write(actor, webhook, "paused", state=state, state_at=Now(), paused_because=why, told_at=None)


def _locked(actor: Actor, webhook_id: str) -> Webhook:
    rows = Webhook.objects.visible_to(actor).select_related("team").select_for_update(of=("self",))
    webhook: Webhook | None = rows.filter(pk=webhook_id).first()
    if webhook is None:
        raise NotFound(_("There is no such webhook."))
    actor.require(Permission.WEBHOOK_MANAGE, webhook.team.scope)
    return webhook


def _write(actor: Actor, webhook: Webhook, what: str, **values: Any) -> Webhook:
    """Change the locked row; whoever is sending looks at it again before the next event."""
    Webhook.objects.filter(pk=webhook.pk).update(generation=F("generation") + 1, **values)
    webhook.refresh_from_db()
    _note(actor, webhook, what)
    return webhook


def _note(actor: Actor, webhook: Webhook, what: str) -> None:
    """Addresses often hold a secret, so they are told to nobody."""
    about: dict[str, Any] = {"name": webhook.name, "types": webhook.types}
    if webhook.paused_because:
        about["because"] = webhook.paused_because
    audit.record(actor=actor, action=f"webhook.{what}", target=webhook, **about)
    emit(type=f"webhook.{what}", subject=webhook.pk, team_id=webhook.team_id, data=about)
