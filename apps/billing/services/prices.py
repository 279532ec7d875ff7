"""Changing the price book: always for the future, never for what has been."""

import re
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.errors import PriceConflict
from apps.billing.models import PriceVersion
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.errors import Invalid
from apps.core.money import plain
from apps.core.permissions import Permission
from apps.operations.services import emit

# A change is known this long before it applies, so that no meter is cut between its writing and its commit.
NOTICE = timedelta(minutes=1)
PRODUCT = re.compile(
    r"^(type|gpu|slot|engine):[a-z0-9][a-z0-9.-]{0,60}(:(spot|reserved))?$"
    r"|^tokens:[a-z0-9][a-z0-9._/-]{0,60}:(input|cached|output|embedding)$"
    r"|^(disk|ip|egress|requests|builds|rag-pages|rag-queries|terminal)$"
)
CURRENCY = re.compile(r"^[A-Z]{3}$")
MOST = Decimal(10) ** 6


@transaction.atomic
def set_price(
    *,
    actor: Actor,
    product: str,
    currency: str,
    unit_price: Decimal,
    valid_from: datetime | None = None,
    note: str = "",
) -> PriceVersion:
    """Set what a unit of a product costs per hour, from a moment on (by default: a minute from now).

    The first price of a product may begin in the past; later ones replace the last one in the future.
    """
    actor.require(Permission.PRICE_MANAGE)
    _check(product, currency, unit_price)
    now = db_now()
    last = _lock_last(product, currency)
    start = valid_from or (now + NOTICE if last else now)
    if last is not None:
        _check_start(last, start, now)
        last.valid_until = start
        last.save(update_fields=["valid_until"])
    version = PriceVersion.objects.create(
        product=product,
        currency=currency,
        unit_price=unit_price,
        valid_from=start,
        previous_until=start if last else None,
        note=note[:200],
        created_by=actor.label[:200],
    )
    audit.record(
        actor=actor,
        action="price.set",
        target=version,
        unit_price=plain(unit_price),
        valid_from=start.isoformat(),
    )
    emit(
        type="price.set",
        subject=version.pk,
        data={"product": product, "currency": currency, "unit_price": plain(unit_price)},
    )
    return version


@transaction.atomic
def withdraw_price(*, actor: Actor, version: PriceVersion) -> None:
    """Take back a change that has not come into force; the price before it goes on."""
    actor.require(Permission.PRICE_MANAGE)
    last = _lock_last(version.product, version.currency)
    if last is None or last.pk != version.pk or last.valid_from <= db_now() + NOTICE:
        raise PriceConflict(_("Only a change that is still to come can be withdrawn."))
    audit.record(actor=actor, action="price.withdrawn", target=last, valid_from=last.valid_from.isoformat())
    emit(type="price.withdrawn", subject=last.pk, data={"product": last.product, "currency": last.currency})
    start = last.valid_from
    last.delete()
    PriceVersion.objects.filter(product=version.product, currency=version.currency, valid_until=start).update(
        valid_until=None
    )


def _lock_last(product: str, currency: str) -> PriceVersion | None:
    chain = PriceVersion.objects.select_for_update().filter(
        product=product, currency=currency, valid_until=None
    )
    found: PriceVersion | None = chain.first()
    return found


def _check(product: str, currency: str, unit_price: Decimal) -> None:
    if not PRODUCT.match(product):
        raise Invalid(_("A product is type:…, gpu:…, disk or ip."), field="product")
    if not CURRENCY.match(currency):
        raise Invalid(_("A currency has three capital letters."), field="currency")
    if not unit_price.is_finite() or not 0 <= unit_price <= MOST:
        raise Invalid(_("A price is between 0 and a million."), field="unit_price")
    if unit_price != unit_price.quantize(Decimal(1).scaleb(-12)):
        raise Invalid(_("A price has at most twelve decimals."), field="unit_price")


def _check_start(last: PriceVersion, start: datetime, now: datetime) -> None:
    if last.valid_from > now:
        raise PriceConflict(_("Another change is already scheduled; withdraw it first."), field="valid_from")
    if start < now + NOTICE:
        raise Invalid(_("A price changes a minute from now at the earliest."), field="valid_from")
