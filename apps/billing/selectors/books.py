"""Which prices a team pays: those of its own price list, and the standard ones for all else."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from django.db.models import QuerySet

from apps.billing.curves import UNIT, Curve, tiers_from_json
from apps.billing.models import PriceList, PriceListChoice, PriceVersion
from apps.billing.models.terms import STANDARD
from apps.billing.rating import Version, clip, overlay
from apps.core import statements

# Asked at every launch and cut: see `core.statements`.
_OVERLAPPING = """
  FROM billing_priceversion p
 WHERE (%(products)s::text[] IS NULL OR p.product = ANY(%(products)s::text[]))
   AND p.currency = ANY(%(currencies)s)
   AND p.valid_from <= %(end)s AND (p.valid_until IS NULL OR p.valid_until > %(start)s)
 ORDER BY p.product, p.currency, p.valid_from DESC
"""

Span = tuple[str, datetime, datetime | None]


def curve_of(row: PriceVersion) -> Curve | None:
    """The price curve of a version; None when every unit costs the same."""
    curve = Curve(
        row.model, row.unit_price, tiers_from_json(row.tiers), size=row.package_size, included=row.included
    )
    return None if curve.is_plain else curve


def version_of(row: PriceVersion) -> Version:
    """The row as rating knows it."""
    is_plain = row.model == UNIT and not row.included
    curve = None if is_plain else curve_of(row)
    return Version(row.pk, row.product, row.unit_price, row.valid_from, row.valid_until, curve)


def versions(
    products: Iterable[str] | None, teams: Mapping[str, str], *, start: datetime, end: datetime
) -> dict[str, list[Version]]:
    """By team (given with its currency), every version that it pays by within [start, end], ends included.

    No products: all of them.
    """
    columns = statements.columns_of(PriceVersion)
    values = {
        "start": start,
        "end": end,
        "products": None if products is None else sorted(set(products)),
        "currencies": sorted(set(teams.values())),
    }
    rows = statements.fetch_all(f"SELECT {columns.spelled('p')} {_OVERLAPPING}", values)
    books: dict[tuple[str, str], list[Version]] = {}
    for row in rows:
        if version := columns.read(row):
            books.setdefault((version.book, version.currency), []).append(version_of(version))
    chosen = spans(teams, until=end) if any(book != STANDARD for book, _currency in books) else {}
    return {team: _effective(books, currency, chosen.get(team, ())) for team, currency in teams.items()}


def spans(teams: Iterable[str], *, until: datetime) -> dict[str, list[Span]]:
    """By team, from when to when it pays by which list; teams that never chose one are missing."""
    found: dict[str, list[Span]] = {}
    for choice in _choices(teams, until):
        mine = found.setdefault(choice.team_id, [])
        if mine:
            mine[-1] = (mine[-1][0], mine[-1][1], choice.valid_from)
        mine.append((choice.book, choice.valid_from, None))
    return found


def book_of(team_id: str, at: datetime) -> str:
    """The price list that the team pays by at a moment."""
    last = _choices([team_id], at).last()
    return last.book if last else STANDARD


def lists_without(product: str, currency: str) -> set[str]:
    """The lists that say nothing of a product, so that the standard price counts there."""
    own = PriceVersion.objects.filter(product=product, currency=currency, valid_until=None)
    return {one.slug for one in PriceList.objects.all()} - set(own.values_list("book", flat=True))


def _choices(teams: Iterable[str], until: datetime) -> "QuerySet[PriceListChoice]":
    found: QuerySet[PriceListChoice] = PriceListChoice.objects.filter(
        team_id__in=list(teams), valid_from__lte=until
    )
    return found.order_by("team", "valid_from")


def _effective(
    books: Mapping[tuple[str, str], list[Version]], currency: str, chosen: Iterable[Span]
) -> list[Version]:
    base = books.get((STANDARD, currency), [])
    own = [
        part
        for book, start, end in chosen
        if book != STANDARD
        for version in books.get((book, currency), ())
        if (part := clip(version, start, end)) is not None
    ]
    return overlay(base, own) if own else base
