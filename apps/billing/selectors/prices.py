"""Reading the price book: what is in force, what a thing would cost."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from apps.billing import rating
from apps.billing.errors import NoPrice
from apps.billing.models import Meter, PriceVersion, Wallet
from apps.billing.models.prices import PriceVersionQuerySet
from apps.billing.rating import Version
from apps.billing.specs import Quote, QuoteLine, Rate, merged
from apps.core import statements
from apps.core.actor import Actor
from apps.core.errors import NotFound
from apps.core.ids import decode, encode
from apps.core.permissions import Permission

Versions = PriceVersionQuerySet

# Both are asked at every launch: see `core.statements`.
_IN_FORCE = """
  FROM billing_priceversion p JOIN billing_wallet w ON w.currency = p.currency
 WHERE w.team_id = %(team)s AND p.product = ANY(%(products)s)
   AND p.valid_from <= %(at)s AND (p.valid_until IS NULL OR p.valid_until > %(at)s)
"""
_OVERLAPPING = """
SELECT currency, id, product, unit_price, valid_from, valid_until FROM billing_priceversion
 WHERE product = ANY(%(products)s) AND currency = ANY(%(currencies)s)
   AND valid_from <= %(end)s AND (valid_until IS NULL OR valid_until > %(start)s)
 ORDER BY product, currency, valid_from DESC
"""


def quote(rates: Iterable[Rate], *, team_id: str, at: datetime) -> Quote:
    """What the rates cost the team per hour at a moment; raises NoPrice for what has no price."""
    wanted = merged(rates)
    columns = statements.columns_of(PriceVersion)
    values = {"team": decode("team", team_id), "products": [rate.product for rate in wanted], "at": at}
    rows = statements.fetch_all(f"SELECT {columns.spelled('p')} {_IN_FORCE}", values)
    found = {version.product: version for row in rows if (version := columns.read(row))}
    if found:
        return _quote(wanted, found, next(iter(found.values())).currency)
    return _quote(wanted, found, _currency_of(team_id))


def quote_in(rates: Iterable[Rate], *, currency: str, at: datetime) -> Quote:
    """The same in a currency, for visitors and for price tables."""
    wanted = merged(rates)
    return _quote(wanted, {v.product: v for v in _book(wanted, at).filter(currency=currency)}, currency)


def _book(rates: Iterable[Rate], at: datetime) -> "QuerySet[PriceVersion]":
    return PriceVersion.objects.at(at).filter(product__in=[rate.product for rate in rates])


def _currency_of(team_id: str) -> str:
    currency: str | None = Wallet.objects.filter(team_id=team_id).values_list("currency", flat=True).first()
    if currency is None:
        raise NotFound(_("There is no such team."))
    return currency


def _quote(rates: Iterable[Rate], found: Mapping[str, PriceVersion], currency: str) -> Quote:
    lines = []
    for rate in rates:
        version = found.get(rate.product)
        if version is None:
            raise NoPrice(
                _("%(product)s has no price in %(currency)s.")
                % {"product": rate.product, "currency": currency},
                product=rate.product,
            )
        cost = (rate.quantity * version.unit_price).quantize(rating.PLACES)
        lines.append(QuoteLine(rate.product, rate.quantity, version.unit_price, cost, version.pk))
    return Quote(currency, tuple(lines), sum((line.hourly for line in lines), rating.ZERO))


def versions(
    products: Iterable[str], currencies: Iterable[str], *, start: datetime, end: datetime
) -> dict[str, list[Version]]:
    """By currency, every version of the products that is in force within [start, end], both ends included."""
    found: dict[str, list[Version]] = {}
    span = {"start": start, "end": end}
    wanted = {"products": sorted(set(products)), "currencies": sorted(set(currencies))}
    for currency, version, *about in statements.fetch_all(_OVERLAPPING, {**span, **wanted}):
        found.setdefault(currency, []).append(Version(encode("prv", version), *about))
    return found


def price_list(*, currency: str, at: datetime) -> "QuerySet[PriceVersion]":
    """The prices in force in a currency: public knowledge."""
    return PriceVersion.objects.at(at).filter(currency=currency).order_by("product")


def price_book(*, actor: Actor) -> Versions:
    """Every version that ever was or is scheduled; for staff."""
    actor.require(Permission.PRICE_READ)
    found: Versions = PriceVersion.objects.order_by("product", "currency", "-valid_from")
    return found


def find_version(*, actor: Actor, version_id: str) -> PriceVersion:
    found = price_book(actor=actor).filter(pk=version_id).first()
    if found is None:
        raise NotFound(_("There is no such price."))
    return found


def affected(*, actor: Actor, product: str, currency: str) -> int:
    """How many running resources a change of this price would concern."""
    actor.require(Permission.PRICE_READ)
    running = Meter.objects.running().filter(currency=currency)
    return running.filter(rates__contains=[[product]]).count()
