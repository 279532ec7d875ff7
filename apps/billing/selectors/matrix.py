"""The price book as a matrix: one row per product and list, one column per market."""

from dataclasses import dataclass, field
from datetime import datetime

from apps.billing.models import PriceVersion
from apps.billing.selectors.prices import Versions

MARKETS = ("spot", "reserved", "stopped")


@dataclass(slots=True)
class Row:
    """A product in a list, with the version in force on each market (on demand is the empty one)."""

    product: str
    book: str
    markets: dict[str, PriceVersion] = field(default_factory=dict)


def by_market(versions: Versions, *, currency: str, at: datetime) -> list[Row]:
    """Every product that has a price at the moment, in order."""
    rows: dict[tuple[str, str], Row] = {}
    for version in versions.at(at).filter(currency=currency):
        base, _colon, last = version.product.rpartition(":")
        product, market = (base, last) if last in MARKETS else (version.product, "")
        row = rows.setdefault((product, version.book), Row(product, version.book))
        row.markets[market] = version
    return [rows[key] for key in sorted(rows)]
