"""Reading the price book: what is in force, what a thing would cost."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.utils.translation import gettext as _

from apps.billing import rating
from apps.billing.errors import NoPrice
from apps.billing.models import PriceVersion, Wallet
from apps.billing.rating import Version
from apps.billing.specs import Quote, QuoteLine, Rate, merged
from apps.core.errors import NotFound


def quote(rates: Iterable[Rate], *, team_id: str, at: datetime) -> Quote:
    """What the rates cost the team per hour at a moment; raises NoPrice for what has no price."""
    wanted = merged(rates)
    currency = Wallet.objects.filter(team_id=team_id).values_list("currency", flat=True).first()
    if currency is None:
        raise NotFound(_("There is no such team."))
    return quote_in(wanted, currency=currency, at=at)


def quote_in(rates: Iterable[Rate], *, currency: str, at: datetime) -> Quote:
    """The same in a currency, for visitors and for price tables."""
    wanted = merged(rates)
    products = [rate.product for rate in wanted]
    book = {v.product: v for v in PriceVersion.objects.at(at).filter(product__in=products, currency=currency)}
    lines = []
    for rate in wanted:
        version = book.get(rate.product)
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
    rows = PriceVersion.objects.overlapping(start, end + timedelta(microseconds=1)).filter(
        product__in=sorted(set(products)), currency__in=sorted(set(currencies))
    )
    for row in rows:
        version = Version(row.pk, row.product, row.unit_price, row.valid_from, row.valid_until)
        found.setdefault(row.currency, []).append(version)
    return found
