"""Saved cards and automatic top-ups."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.permissions import Permission
from apps.core.queue import enqueue
from apps.drivers.payments import CardSeen, Setup
from apps.operations.services import emit
from apps.payments.errors import BadAmount, NoMethod, ProviderMissing
from apps.payments.models import AutoTopUp, PaymentCustomer, PaymentMethod
from apps.payments.selectors import providers, rows
from apps.payments.specs import LEAST, MOST, unit_of
from apps.teams.models import Team


@dataclass(frozen=True, slots=True)
class AutoWish:
    """Add `amount` whenever less than `threshold` is free, at most `monthly_most` in a calendar month."""

    is_enabled: bool
    threshold: Decimal
    amount: Decimal
    monthly_most: Decimal


@transaction.atomic
def begin_card_setup(*, actor: Actor, team: Team) -> PaymentCustomer:
    """Ask for a page of the provider's on which a card can be saved; its address follows in a moment."""
    actor.require(Permission.BILLING_MANAGE, team.scope)
    provider = providers.card_provider()
    if provider is None:
        raise ProviderMissing(_("Cards cannot be used here: the payment provider is not set up."))
    customer = customer_of(team, provider)
    now = db_now()
    customer.setup_wanted_at, customer.due_at = now, now
    customer.setup_id = customer.setup_url = customer.problem = ""
    customer.save()
    audit.record(actor=actor, action="payment_method.setup", target=customer, team_id=team.pk)
    enqueue("payments.customer", customer_id=customer.pk)
    return customer


@transaction.atomic
def set_default_method(*, actor: Actor, team: Team, method_id: str) -> PaymentMethod:
    """The card that automatic top-ups use."""
    actor.require(Permission.BILLING_MANAGE, team.scope)
    method = rows.find_method(actor, method_id, team_id=team.pk)
    PaymentMethod.objects.filter(team=team, is_default=True).update(is_default=False)
    method.is_default = True
    method.save(update_fields=["is_default"])
    audit.record(actor=actor, action="payment_method.default", target=method)
    emit(type="payment.method", subject=team.pk, team_id=team.pk)
    return method


@transaction.atomic
def remove_method(*, actor: Actor, team: Team, method_id: str) -> None:
    """Forget a card, here and at the provider; another one becomes the default."""
    actor.require(Permission.BILLING_MANAGE, team.scope)
    method = rows.find_method(actor, method_id, team_id=team.pk)
    was_default, method.is_default, method.removed_at = method.is_default, False, db_now()
    method.save(update_fields=["is_default", "removed_at"])
    following = rows.methods(actor, team_id=team.pk).first() if was_default else None
    if following is not None:
        following.is_default = True
        following.save(update_fields=["is_default"])
    audit.record(actor=actor, action="payment_method.removed", target=method)
    emit(type="payment.method", subject=team.pk, team_id=team.pk)
    enqueue("payments.detach")


@transaction.atomic
def save_auto_top_up(*, actor: Actor, team: Team, wish: AutoWish) -> AutoTopUp:
    """Set the automatic top-up; saving it also lets one that paused go on."""
    actor.require(Permission.BILLING_MANAGE, team.scope)
    _check(wish, team.currency)
    if wish.is_enabled and not rows.methods(actor, team_id=team.pk).exists():
        raise NoMethod(_("Save a card first."), field="is_enabled")
    values = asdict(wish) | {"paused_because": "", "updated_at": db_now()}
    auto, _made = AutoTopUp.objects.update_or_create(team=team, defaults=values)
    audit.record(
        actor=actor, action="auto_top_up.saved", target=auto, team_id=team.pk, enabled=wish.is_enabled
    )
    emit(type="payment.auto_top_up", subject=team.pk, team_id=team.pk)
    saved: AutoTopUp = auto
    return saved


@transaction.atomic
def apply_cards(
    *, actor: Actor, customer: PaymentCustomer, cards: Sequence[CardSeen], setup: Setup | None = None
) -> int:
    """Take over the cards that the provider keeps for a customer; how many there are."""
    actor.require(Permission.BILLING_MANAGE)
    known: Any = PaymentMethod.objects.filter(team_id=customer.team_id, provider=customer.provider)
    gone = known.filter(removed_at=None).exclude(external_id__in=[card.id for card in cards])
    gone.update(removed_at=db_now(), is_default=False, is_detached=True)
    ids = set(known.values_list("external_id", flat=True))
    fresh = [card for card in cards if card.id not in ids]
    for card in fresh:
        PaymentMethod.objects.create(
            team_id=customer.team_id,
            provider=customer.provider,
            external_id=card.id,
            brand=card.brand[:20],
            last4=card.last4[:4],
            expires=card.expires,
        )
    live = PaymentMethod.objects.filter(team_id=customer.team_id, removed_at=None)
    if live.exists() and not live.filter(is_default=True).exists():
        live.filter(pk=live.latest("created_at").pk).update(is_default=True)
    customer.due_at = None
    if setup is not None:
        customer.setup_id, customer.setup_url = setup.id, setup.url
    if fresh:
        customer.setup_wanted_at, customer.setup_id, customer.setup_url = None, "", ""
        emit(type="payment.method", subject=customer.team_id, team_id=customer.team_id)
    customer.save()
    return len(cards)


def customer_of(team: Team, provider: str) -> PaymentCustomer:
    """The team's counterpart at a provider, locked; its id there is filled in by a reconciler."""
    PaymentCustomer.objects.get_or_create(team=team, provider=provider)
    found: Any = PaymentCustomer.objects.select_for_update().get(team=team, provider=provider)
    made: PaymentCustomer = found
    return made


def _check(wish: AutoWish, currency: str) -> None:
    for name in ("threshold", "amount", "monthly_most"):
        value = getattr(wish, name)
        if not value.is_finite() or not 0 <= value <= MOST or value % unit_of(currency, is_card=True):
            raise BadAmount(_("This is not an amount that can be paid."), field=name)
    if wish.amount < LEAST:
        raise BadAmount(_("Add at least one unit of the currency."), field="amount")
    if wish.monthly_most < wish.amount:
        raise BadAmount(_("A month must allow for one top-up at least."), field="monthly_most")
