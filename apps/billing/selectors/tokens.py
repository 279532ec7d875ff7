"""Reading token prices and token usage."""

from datetime import datetime
from decimal import Decimal

from apps.billing.models import PriceVersion, Wallet
from apps.billing.specs import TOKEN_KINDS, PriceTable, TokenPrices
from apps.core.money import ZERO


def price_table(now: datetime) -> PriceTable:
    """Every token price in force, and by which book each team pays; for gateways, two statements."""
    books: dict[str, dict[str, dict[str, tuple[Decimal, str]]]] = {}
    rows = PriceVersion.objects.at(now).filter(product__startswith="tokens:").order_by()
    for product, currency, price, version in rows.values_list("product", "currency", "unit_price", "pk"):
        _tokens, slug, kind = product.split(":")
        books.setdefault(currency, {}).setdefault(slug, {})[kind] = (price, str(version))
    tables = {
        book: {slug: _prices(book, kinds) for slug, kinds in slugs.items()} for book, slugs in books.items()
    }
    teams = dict(Wallet.objects.order_by().values_list("team_id", "currency"))
    return PriceTable(tables, teams)


def _prices(currency: str, kinds: dict[str, tuple[Decimal, str]]) -> TokenPrices:
    found = {"cached": kinds.get("input"), **kinds}
    pairs = [found.get(kind) or (ZERO, None) for kind in TOKEN_KINDS]
    plain, cached, output, embedding = (price for price, _version in pairs)
    return TokenPrices(currency, plain, cached, output, embedding, tuple(v for _price, v in pairs))
