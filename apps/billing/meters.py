"""What can be reported as usage: each meter's unit, its limits, and the product that is charged for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from apps.billing.specs import SECONDS_PER_HOUR, TOKENS_PER_PRICE

# An hour of a thousand machines, a day of a petabyte: beyond these a report is a mistake.
MOST = Decimal(10) ** 12
STATES = ("running", "stopped")
MARKETS = ("on_demand", "spot", "reserved")


class BadAttributes(ValueError):
    """The attributes of an event do not say which product it is."""


@dataclass(frozen=True, slots=True)
class MeterKind:
    """A meter: what is reported (`reported_in`), what is priced (`unit`), and as which product.

    The product may name attributes in braces. `most` is the largest quantity that is believed.
    """

    key: str
    product: str
    reported_in: str
    unit: str
    per: Decimal = Decimal(1)
    most: Decimal = MOST
    is_whole: bool = False

    def units(self, quantity: Decimal) -> Decimal:
        """The quantity in priced units, to twelve decimals."""
        return (quantity / self.per).quantize(Decimal(1).scaleb(-12))

    def product_of(self, attributes: Mapping[str, str]) -> str:
        """The product that an event with these attributes is charged as."""
        try:
            product = self.product.format_map(attributes)
        except (KeyError, IndexError, ValueError) as missing:
            raise BadAttributes(f"{self.key} needs the attribute {missing.args[0]}") from None
        if self.key == "machine_seconds":
            product += _suffix(attributes)
        return product


def _suffix(attributes: Mapping[str, str]) -> str:
    """Stopped, spot and reserved machines are products of their own."""
    state, market = attributes.get("state", "running"), attributes.get("market", "on_demand")
    if state not in STATES or market not in MARKETS:
        raise BadAttributes("machine_seconds has no such state or market")
    if state == "stopped":
        return ":stopped"
    return "" if market == "on_demand" else f":{market}"


def _tokens(kind: str) -> MeterKind:
    product = f"tokens:{{model}}:{kind}"
    return MeterKind(
        f"tokens_{kind}", product, "token", "1M tokens", Decimal(TOKENS_PER_PRICE), is_whole=True
    )


METERS: dict[str, MeterKind] = {
    meter.key: meter
    for meter in (
        MeterKind("machine_seconds", "type:{type}", "second", "hour", SECONDS_PER_HOUR),
        MeterKind("gpu_seconds", "gpu:{model}", "second", "hour", SECONDS_PER_HOUR),
        MeterKind("pool_slot_seconds", "slot:{pool}", "slot second", "hour", SECONDS_PER_HOUR),
        MeterKind("volume_gb_hours", "disk", "GB-hour", "hour"),
        MeterKind("ip_hours", "ip", "hour", "hour"),
        MeterKind("egress_bytes", "egress", "byte", "GB", Decimal(10) ** 9, MOST * 1000, is_whole=True),
        _tokens("input"),
        _tokens("cached"),
        _tokens("output"),
        _tokens("embedding"),
        MeterKind("requests", "requests", "request", "1000 requests", Decimal(1000), is_whole=True),
        MeterKind("builds", "builds", "build", "build", is_whole=True),
        MeterKind("rag_pages", "rag-pages", "page", "1000 pages", Decimal(1000), is_whole=True),
        MeterKind("rag_queries", "rag-queries", "query", "1000 queries", Decimal(1000), is_whole=True),
        MeterKind("terminal_minutes", "terminal", "minute", "hour", Decimal(60)),
    )
}
