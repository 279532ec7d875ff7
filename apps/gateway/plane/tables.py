"""What a worker knows: keys, endpoints, prices. Filled by the steward, read without waiting for anybody."""

import hashlib
import ipaddress

import msgspec

from apps.core.uuids import decode
from apps.gateway import messages
from apps.gateway.flights import Facts
from apps.gateway.plane import asks
from apps.gateway.plane.engines import Engine, Route
from apps.gateway.plane.refusals import Refusal, refusal

_sha256 = hashlib.sha256
_PREFIX = b"Bearer "
FREE = messages.PriceRow("", (0, 0, 0, 0), ("0", "0", "0", "0"), (None, None, None, None))
_facts_encoder = msgspec.msgpack.Encoder()
_NOTHING: frozenset[asks.Kind] = frozenset()
_TEXTS: frozenset[asks.Kind] = frozenset({"chat", "completion", "response"})
_EMBEDDINGS: frozenset[asks.Kind] = frozenset({"embedding"})
# Authorization headers whose key is remembered.
MOST_SEEN = 10_000


class Way:
    """What a key's requests for a model come to: the endpoint, the price, and what the spool notes of them,
    for texts and for embeddings."""

    __slots__ = ("apart", "attos", "dearest", "facts", "is_free", "kinds", "route", "version")

    def __init__(self, who: messages.KeyRow, route: Route, price: messages.PriceRow | None, version: int):
        self.route, self.version = route, version
        price = price or FREE
        self.kinds = _payable(route.row, price)
        self.attos = price.attos
        self.dearest, self.is_free = max(price.attos[:2]), not any(price.attos)  # of a prompt, for the rest
        # What keeps the team's prompts apart from those of other teams in an engine's cache.
        self.apart = asks.apart(who.team_id) if route.row.is_public else b""
        self.facts = [_facts(who, route.row, price, embeds) for embeds in (False, True)]


def _payable(row: messages.RouteRow, price: messages.PriceRow) -> frozenset[asks.Kind]:
    """What may be asked of it: where tokens are paid for, that for which all of them have a price."""
    into, _cached, out, embedding = price.version_ids
    texts = not row.only_embeds and (not row.is_metered or (into and out))
    embeds = not row.is_metered or embedding
    return (_TEXTS if texts else _NOTHING) | (_EMBEDDINGS if embeds else _NOTHING)


def _facts(who: messages.KeyRow, row: messages.RouteRow, price: messages.PriceRow, embeds: bool) -> bytes:
    return _facts_encoder.encode(Facts(
        who.id, who.team_id, who.workspace_id, row.endpoint_id, row.slug, row.digest, row.is_metered,
        price.currency or who.currency, price.prices, price.version_ids, embeds,
    ))  # fmt: skip


class Key:
    """A key and what is remembered for it between requests."""

    __slots__ = (
        "check",
        "is_plain",
        "models",
        "networks",
        "purse",
        "row",
        "spend",
        "ways",
    )

    def __init__(self, row: messages.KeyRow):
        self.row = row
        self.models = frozenset(row.models) if row.models is not None else None
        self.networks = [ipaddress.ip_network(one) for one in row.networks]
        self.is_plain = not (row.refusal or row.expires_at is not None or self.networks)  # may always be used
        self.purse = (row.team_id, row.workspace_id, row.id) if row.is_apart else (row.team_id, "", "")
        self.check = self.spend = b""  # the limits' commands, made once
        self.ways: dict[str, Way] = {}

    def refusal(self, now: float) -> Refusal | None:
        """Why it may not be used now."""
        row = self.row
        if row.refusal:
            return refusal(row.refusal)
        if row.expires_at is not None and row.expires_at <= now:
            return refusal("bad_key")
        return None

    def may_come_from(self, ip: str) -> bool:
        """Whether the address lies in one of its networks."""
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in one for one in self.networks)


class Tables:
    """The snapshot."""

    def __init__(self) -> None:
        self.keys: dict[bytes, Key] = {}
        self.own: dict[tuple[str, str], Route] = {}
        self.public: dict[str, Route] = {}
        self.routes: dict[str, Route] = {}
        self.engines: dict[str, Engine] = {}
        self.books: dict[str, dict[str, messages.PriceRow]] = {}
        self.region = ""
        self.is_filled = False
        self._version = 0  # grows with every change
        self._seen: dict[bytes, Key] = {}

    def key_of(self, authorization: bytes | None) -> Key | None:
        """The key in an Authorization header."""
        if authorization is None:
            return None
        found = self._seen.get(authorization)
        if found is None and authorization[:7] == _PREFIX:
            found = self.keys.get(_sha256(authorization[7:]).digest())
            if found is not None and len(self._seen) < MOST_SEEN:
                self._seen[authorization] = found
        return found

    def way_for(self, key: Key, name: str) -> Way | None:
        """What a request of the key for this model comes to; None when the key has no such model."""
        known = key.ways.get(name)
        if known is not None and known.version == self._version:
            return known
        route = self.route_for(key, name)
        if route is None:
            return None
        price = self.price_of(key, route.row.slug) if route.row.is_metered else FREE
        made = key.ways[name] = Way(key.row, route, price, self._version)
        return made

    def route_for(self, key: Key, name: str) -> Route | None:
        """The endpoint that this name means to this key: the team's own first."""
        if key.models is not None and name not in key.models:
            return None
        return self.own.get((key.row.team_id, name)) or self.public.get(name)

    def names_for(self, key: Key) -> list[Route]:
        """All endpoints that the key may use, own ones first, one per name."""
        team = key.row.team_id
        found = {name: route for (owner, name), route in self.own.items() if owner == team}
        found = found | {name: route for name, route in self.public.items() if name not in found}
        allowed = [route for name, route in found.items() if key.models is None or name in key.models]
        return list({route.row.endpoint_id: route for route in allowed}.values())

    def price_of(self, key: Key, slug: str) -> messages.PriceRow | None:
        book = self.books.get(key.row.book)
        return book.get(slug) if book else None

    # What the steward sends.

    def take_keys(self, message: messages.Keys) -> None:
        for gone in message.drop:
            self.keys.pop(gone, None)
        for row in message.put:
            self.keys[row.hash] = Key(row)
        self._seen.clear()
        self._version += 1
        self.is_filled = True

    def take_prices(self, message: messages.Prices) -> None:
        self.books = message.books
        self._version += 1

    def take_routes(self, message: messages.Routes) -> None:
        """Put the new endpoints in place; what is known of engines and of those that wait is kept."""
        routes: dict[str, Route] = {}
        engines: dict[str, Engine] = {}
        for row in message.routes:
            route = self.routes.get(row.endpoint_id) or Route(row)
            found = [self._engine(one) for one in row.replicas]
            engines |= {engine.row.id: engine for engine in found}
            route.become(row, found, self.region)
            routes[row.endpoint_id] = route
        for engine_id, engine in self.engines.items():
            if engine_id not in engines:
                engine.retire()
        self.routes, self.engines = routes, engines
        self.own = {
            (r.row.team_id, name): r for r in routes.values() for name in r.row.names if r.row.team_id
        }
        self.public = {name: r for r in routes.values() if r.row.is_public for name in r.row.names}
        self._version += 1

    def _engine(self, row: messages.ReplicaRow) -> Engine:
        known = self.engines.get(row.id)
        if known is not None and _reached(known.row) == _reached(row):
            known.row = row
            return known
        return Engine(row, decode("rep", row.id).bytes)


def _reached(row: messages.ReplicaRow) -> tuple[object, ...]:
    """What an engine is made of: another row of the same goes on with its connections."""
    return row.url, row.api_key, row.provider
