"""Reading the price book: what is in force, what a thing would cost."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.utils.translation import gettext as _

from apps.billing import rating
from apps.billing.errors import NoPrice
from apps.billing.models import Meter, PriceVersion, Wallet
from apps.billing.models.prices import PriceVersionQuerySet
from apps.billing.models.terms import STANDARD
from apps.billing.selectors import books
from apps.billing.specs import Quote, QuoteLine, Rate, merged
from apps.core import statements
from apps.core.actor import Actor
from apps.core.errors import NotFound
from apps.core.ids import decode
from apps.core.permissions import Permission

Versions = PriceVersionQuerySet

# Asked at every launch: see `core.statements`. One's own price comes last and wins.
_IN_FORCE = """
  FROM billing_priceversion p JOIN billing_wallet w ON w.currency = p.currency
 WHERE w.team_id = %(team)s
   AND p.valid_from <= coalesce(%(at)s, now())
   AND (p.valid_until IS NULL OR p.valid_until > coalesce(%(at)s, now()))
   AND (p.book = 'standard' OR p.book = (
        SELECT c.book FROM billing_pricelistchoice c
         WHERE c.team_id = %(team)s AND c.valid_from <= coalesce(%(at)s, now())
         ORDER BY c.valid_from DESC LIMIT 1))
"""
_NAMED = " AND p.product = ANY(%(products)s)"
_OWN_LAST = " ORDER BY p.book <> 'standard'"


def quote(rates: Iterable[Rate], *, team_id: str, at: datetime) -> Quote:
    """What the rates cost the team per hour at a moment; raises NoPrice for what has no price."""
    wanted = merged(rates)
    found = book_of(team_id, at=at, products=[rate.product for rate in wanted])
    if found:
        return _quote(wanted, found, next(iter(found.values())).currency)
    return _quote(wanted, found, currency_of(team_id))


def book_of(
    team_id: str, *, at: datetime | None = None, products: Sequence[str] | None = None
) -> dict[str, PriceVersion]:
    """The team's price of each product, its own where it has one; by default all of them, and now."""
    columns, named = statements.columns_of(PriceVersion), "" if products is None else _NAMED
    values = {"team": decode("team", team_id), "products": products, "at": at}
    rows = statements.fetch_all(f"SELECT {columns.spelled('p')} {_IN_FORCE}{named}{_OWN_LAST}", values)
    return {version.product: version for row in rows if (version := columns.read(row))}


def quote_by(book: Mapping[str, PriceVersion], rates: Iterable[Rate], *, currency: str) -> Quote:
    """What the rates cost by prices that have been read; raises NoPrice for what has none."""
    return _quote(merged(rates), book, currency)


def currency_of(team_id: str) -> str:
    """The currency that the team pays in; it never changes."""
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


def price_list(*, currency: str, at: datetime) -> "QuerySet[PriceVersion]":
    """The standard prices in force in a currency: public knowledge."""
    return PriceVersion.objects.at(at).filter(currency=currency, book=STANDARD).order_by("product")


def prices_of(*, team_id: str, currency: str, at: datetime) -> Versions:
    """What the team pays at a moment: its list's own prices, each with the `standard_price` of it, and the
    standard prices of all else."""
    book, now = books.book_of(team_id, at), PriceVersion.objects.at(at).filter(currency=currency)
    same = now.filter(product=OuterRef("product"))
    own, standard = same.filter(book=book).exclude(book=STANDARD), same.filter(book=STANDARD)
    usual = Subquery(standard.values("unit_price")[:1])
    rows = now.filter(Q(book=book) | Q(book=STANDARD) & ~Exists(own)).annotate(standard_price=usual)
    found: Versions = rows.order_by("product")
    return found


def price_book(*, actor: Actor) -> Versions:
    """Every version that ever was or is scheduled; for staff."""
    actor.require(Permission.PRICE_READ)
    found: Versions = PriceVersion.objects.order_by("product", "book", "currency", "-valid_from")
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
