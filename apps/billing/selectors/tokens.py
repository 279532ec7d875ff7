"""Reading token prices and token usage."""

from collections.abc import Container
from datetime import datetime
from decimal import Decimal

from apps.billing.models import PriceListChoice, PriceVersion, Wallet
from apps.billing.models.terms import STANDARD
from apps.billing.selectors.prices import book_of
from apps.billing.specs import TOKEN_KINDS, PriceTable, TokenPrices
from apps.core.money import ZERO

Kinds = dict[str, dict[str, tuple[Decimal, str]]]


def price_table(now: datetime) -> PriceTable:
    """Every token price in force, and by which book each team pays; for gateways, three statements."""
    found: dict[tuple[str, str], Kinds] = {}
    rows = PriceVersion.objects.at(now).filter(product__startswith="tokens:").order_by()
    for row in rows.values_list("book", "currency", "product", "unit_price", "pk"):
        book, currency, product, price, version = row
        _tokens, slug, kind = product.split(":")
        found.setdefault((book, currency), {}).setdefault(slug, {})[kind] = (price, str(version))
    tables = {}
    for (book, currency), own in found.items():
        common = found.get((STANDARD, currency), {})
        slugs = {slug: {**common.get(slug, {}), **own.get(slug, {})} for slug in {*common, *own}}
        tables[f"{book}/{currency}"] = {slug: _prices(currency, kinds) for slug, kinds in slugs.items()}
    return PriceTable(tables, _books_of_teams(now, tables))


def prices_for(team_id: str, currency: str) -> dict[str, TokenPrices]:
    """What one team pays now for each model that has a price, in one statement."""
    kinds: Kinds = {}
    for product, version in book_of(team_id).items():
        if product.startswith("tokens:"):
            _tokens, slug, kind = product.split(":")
            kinds.setdefault(slug, {})[kind] = (version.unit_price, str(version.pk))
    return {slug: _prices(currency, found) for slug, found in kinds.items()}


def _books_of_teams(now: datetime, tables: Container[str]) -> dict[str, str]:
    currencies = dict(Wallet.objects.order_by().values_list("team_id", "currency"))
    choices = PriceListChoice.objects.filter(valid_from__lte=now).order_by("valid_from")
    chosen = dict(choices.values_list("team_id", "book"))
    teams = {}
    for team, currency in currencies.items():
        own = f"{chosen.get(team, STANDARD)}/{currency}"
        teams[team] = own if own in tables else f"{STANDARD}/{currency}"
    return teams


def _prices(currency: str, kinds: dict[str, tuple[Decimal, str]]) -> TokenPrices:
    found = {"cached": kinds.get("input"), **kinds}
    pairs = [found.get(kind) or (ZERO, None) for kind in TOKEN_KINDS]
    plain, cached, output, embedding = (price for price, _version in pairs)
    return TokenPrices(currency, plain, cached, output, embedding, tuple(v for _price, v in pairs))
