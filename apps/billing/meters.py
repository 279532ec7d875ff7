"""What can be reported as usage: each meter's unit, its limits, and the product that is charged for it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import NamedTuple

import msgspec

from apps.billing.specs import SECONDS_PER_HOUR, TOKENS_PER_PRICE
from apps.core.money import plain

# An hour of a thousand machines, a day of a petabyte: beyond these a report is a mistake.
MOST = Decimal(10) ** 12
LONGEST = 80  # name of a product
_CONTEXT, _PLACES = Context(prec=60, rounding=ROUND_HALF_EVEN), Decimal(1).scaleb(-12)
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
        return _CONTEXT.quantize(_CONTEXT.divide(quantity, self.per), _PLACES)

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


LATEST = timedelta(minutes=5)
OLDEST = timedelta(days=35)
_canonical = msgspec.json.Encoder()


class BadEvent(ValueError):
    """An event that is refused: `reason` is stable, the text for whoever sent it."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Report(NamedTuple):
    """An event as it was understood: so much of a meter for a team at a moment, under the source's own id.

    `key` is what makes it this event and no other; `content` is the same for reports that say the same,
    however they are written.
    """

    source: str
    event_id: str
    team_id: str
    workspace_id: str | None
    meter: MeterKind
    product: str
    resource: str
    quantity: Decimal
    at: datetime
    attributes: dict[str, str]
    supersedes: str | None
    key: bytes
    content: bytes


def key_of(team_id: str, source: str, event_id: str) -> bytes:
    return hashlib.sha256(f"{team_id}\n{source}\n{event_id}".encode()).digest()[:16]


def read_event(raw: object, now: datetime) -> Report:
    """The event that this JSON value is (CloudEvents' names); raises BadEvent, saying why not."""
    if not isinstance(raw, dict) or not isinstance(raw.get("data"), dict):
        raise BadEvent("malformed", "An event is an object with id, source, type, time, team and data.")
    meter = METERS.get(str(raw.get("type")))
    if meter is None:
        raise BadEvent("unknown_meter", "There is no such meter.")
    attributes = {name: _text(value) for name, value in raw["data"].items() if name != "quantity"}
    try:
        product = meter.product_of(attributes)
    except BadAttributes as bad:
        raise BadEvent("malformed", str(bad)) from None
    if len(product) > LONGEST:
        raise BadEvent("malformed", "There is no product with so long a name.")
    source, event_id, team_id = _named(raw, "source", 80), _named(raw, "id", 100), _named(raw, "team", 40)
    workspace_id = _named(raw, "workspace", 40) if raw.get("workspace") else None
    resource = _named(raw, "subject", 120) if raw.get("subject") else meter.key
    quantity, at = _quantity(raw["data"].get("quantity"), meter), _time(raw.get("time"), now)
    supersedes = _named(raw, "supersedes", 100) if raw.get("supersedes") is not None else None
    about = (meter.key, at.astimezone(UTC), resource, workspace_id, plain(quantity))
    said = _canonical.encode((*about, sorted(attributes.items()), supersedes))
    return Report(
        source, event_id, team_id, workspace_id, meter, product, resource, quantity, at, attributes,
        supersedes, key_of(team_id, source, event_id), hashlib.sha256(said).digest(),
    )  # fmt: skip


def _named(raw: Mapping[str, object], name: str, most: int) -> str:
    value = raw.get(name)
    if not isinstance(value, str) or not _is_name(value, most):
        raise BadEvent("malformed", f"{name} is a text of 1 to {most} printable characters.")
    return value


def _is_name(text: str, most: int) -> bool:
    return 0 < len(text) <= most and text.isascii() and text.isprintable() and text[0] != " "


def _text(value: object) -> str:
    if not isinstance(value, str | int | bool) or len(str(value)) > 200:
        raise BadEvent("malformed", "Attributes are short texts or whole numbers.")
    return str(value)


def _quantity(value: object, meter: MeterKind) -> Decimal:
    """An exact number: a text or a whole number, for a float is neither."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadEvent("quantity", "quantity is a decimal number in quotes, or a whole number.")
    try:
        found = Decimal(value)
    except ArithmeticError:
        raise BadEvent("quantity", "quantity is not a number.") from None
    if not found.is_finite() or not 0 <= found <= meter.most:
        raise BadEvent("quantity", f"quantity is between 0 and {meter.most:f}.")
    if found != found.quantize(Decimal(1 if meter.is_whole else "1e-12")):
        raise BadEvent("quantity", "quantity has too many decimals for this meter.")
    return found


def _time(value: object, now: datetime) -> datetime:
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise BadEvent("time", "time is RFC 3339 with a time zone.")
    if not now - OLDEST <= at <= now + LATEST:
        raise BadEvent("time", "time is at most 35 days ago and 5 minutes ahead.")
    return at
