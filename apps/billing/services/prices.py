"""Changing the price book: always for the future, never for what has been."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.curves import Curve, Tier, problem_with
from apps.billing.errors import PriceConflict
from apps.billing.models import PriceList, PriceVersion
from apps.billing.models.terms import STANDARD
from apps.billing.states import PriceModel
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.errors import Invalid
from apps.core.money import ZERO, plain
from apps.core.permissions import Permission
from apps.operations.services import emit

# A change is known this long before it applies, so that no meter is cut between its writing and its commit.
NOTICE = timedelta(minutes=1)
PRODUCT = re.compile(
    r"(type|gpu|slot|engine):[a-z0-9][a-z0-9.-]{0,60}(:(spot|reserved|stopped))?"
    r"|tokens:[a-z0-9][a-z0-9._/-]{0,60}:(input|cached|output|embedding)"
    r"|(disk|ip|egress|requests|builds|rag-pages|rag-queries|terminal)"
)
CURRENCY = re.compile(r"[A-Z]{3}")
MOST = Decimal(10) ** 6


@dataclass(frozen=True, slots=True)
class NewPrice:
    """What a product is to cost, in which list, reckoned how; `valid_from` None: a minute from now."""

    product: str
    currency: str
    unit_price: Decimal
    book: str = STANDARD
    model: str = PriceModel.UNIT
    tiers: tuple[Tier, ...] = ()
    package_size: Decimal = Decimal(1)
    included: Decimal = ZERO
    valid_from: datetime | None = None
    note: str = ""

    @property
    def curve(self) -> Curve:
        return Curve(self.model, self.unit_price, self.tiers, self.package_size, self.included)


def set_price(
    *,
    actor: Actor,
    product: str,
    currency: str,
    unit_price: Decimal,
    valid_from: datetime | None = None,
    note: str = "",
) -> PriceVersion:
    """Set what a unit of a product costs in the standard list, from a moment on."""
    new = NewPrice(product, currency, unit_price, valid_from=valid_from, note=note)
    return schedule_price(actor=actor, new=new)


@transaction.atomic
def schedule_price(*, actor: Actor, new: NewPrice) -> PriceVersion:
    """Set what a product costs, from a moment on (by default: a minute from now).

    The first price of a product may begin in the past; later ones replace the last one in the future.
    """
    actor.require(Permission.PRICE_MANAGE)
    check_price(new)
    now = db_now()
    last = _lock_last(new.book, new.product, new.currency)
    start = new.valid_from or (now + NOTICE if last else now)
    if last is not None:
        _check_start(last, start, now)
        last.valid_until = start
        last.save(update_fields=["valid_until"])
    tiers = [[None if t.up_to is None else plain(t.up_to), plain(t.price)] for t in new.tiers]
    version = PriceVersion.objects.create(
        book=new.book,
        product=new.product,
        currency=new.currency,
        model=new.model,
        unit_price=new.tiers[0].price if new.tiers else new.unit_price,
        tiers=tiers,
        package_size=new.package_size,
        included=new.included,
        valid_from=start,
        previous_until=start if last else None,
        note=new.note[:200],
        created_by=actor.label[:200],
    )
    shown = {"unit_price": plain(version.unit_price), "book": new.book, "model": str(new.model)}
    audit.record(actor=actor, action="price.set", target=version, valid_from=start.isoformat(), **shown)
    emit(
        type="price.set",
        subject=version.pk,
        data={"product": new.product, "currency": new.currency, **shown},
    )
    return version


@transaction.atomic
def withdraw_price(*, actor: Actor, version: PriceVersion) -> None:
    """Take back a change that has not come into force; the price before it goes on."""
    actor.require(Permission.PRICE_MANAGE)
    last = _lock_last(version.book, version.product, version.currency)
    if last is None or last.pk != version.pk or last.valid_from <= db_now() + NOTICE:
        raise PriceConflict(_("Only a change that is still to come can be withdrawn."))
    audit.record(actor=actor, action="price.withdrawn", target=last, valid_from=last.valid_from.isoformat())
    emit(type="price.withdrawn", subject=last.pk, data={"product": last.product, "currency": last.currency})
    start = last.valid_from
    last.delete()
    before = PriceVersion.objects.filter(
        book=version.book, product=version.product, currency=version.currency, valid_until=start
    )
    before.update(valid_until=None)


def _lock_last(book: str, product: str, currency: str) -> PriceVersion | None:
    chain = PriceVersion.objects.select_for_update().filter(
        book=book, product=product, currency=currency, valid_until=None
    )
    found: PriceVersion | None = chain.first()
    return found


def check_price(new: NewPrice) -> None:
    """Raise Invalid for a price that makes no sense."""
    if not PRODUCT.fullmatch(new.product):
        raise Invalid(_("A product is type:…, gpu:…, disk, ip, tokens:… and the like."), field="product")
    if not CURRENCY.fullmatch(new.currency):
        raise Invalid(_("A currency has three capital letters."), field="currency")
    if new.book != STANDARD and not PriceList.objects.filter(slug=new.book).exists():
        raise Invalid(_("There is no such price list."), field="book")
    for name, amount in (("unit_price", new.unit_price), ("included", new.included)):
        _check_amount(name, amount)
    for tier in new.tiers:
        _check_amount("tiers", tier.price)
        _check_amount("tiers", tier.up_to or ZERO)
    if field := problem_with(new.curve):
        raise Invalid(_("This price model makes no sense."), field=field)
    if new.product.startswith("tokens:") and not new.curve.is_plain:
        raise Invalid(_("Tokens are priced per unit: a gateway cannot wait for a sum."), field="model")


def _check_amount(name: str, amount: Decimal) -> None:
    if not amount.is_finite() or not 0 <= amount <= MOST:
        raise Invalid(_("A price is between 0 and a million."), field=name)
    if amount != amount.quantize(Decimal(1).scaleb(-12)):
        raise Invalid(_("A price has at most twelve decimals."), field=name)


def _check_start(last: PriceVersion, start: datetime, now: datetime) -> None:
    if last.valid_from > now:
        raise PriceConflict(_("Another change is already scheduled; withdraw it first."), field="valid_from")
    if start < now + NOTICE:
        raise Invalid(_("A price changes a minute from now at the earliest."), field="valid_from")
