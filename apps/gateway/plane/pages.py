"""What is answered without an engine: the list of models, receipts, health, figures."""

import re
from typing import Any, Protocol

import msgspec

from apps.gateway import messages
from apps.gateway.http import Head
from apps.gateway.plane.engines import Route
from apps.gateway.plane.plane import Plane, Request
from apps.gateway.plane.refusals import refusal
from apps.gateway.plane.tables import Key

_MODELS, _MODEL, _RECEIPTS = b"/v1/models", b"/v1/models/", b"/v1/receipts/"
# Receipts that a team may be waiting for: each is a question to the database, which others ask for money.
MOST_AT_ONCE = 8
_RECEIPT = re.compile(rb"rcp_[0-9a-hjkmnp-tv-z]{26}")


class Asker(Request, Protocol):
    """A request for a page."""

    plane: Plane
    head: Head
    path: bytes
    key: Key | None

    def identify(self) -> Key | None:
        """Whose it is; refuses it when it is nobody's."""


def serve(exchange: Asker) -> None:
    """Answer a request that asks for no tokens."""
    path = exchange.path
    if path not in (b"/health", _MODELS) and not path.startswith((_MODEL, _RECEIPTS)):
        exchange.refuse(refusal("not_found"))
    elif exchange.head.method not in (b"GET", b"HEAD"):
        exchange.refuse(refusal("method_not_allowed").with_headers(b"allow: GET\r\n"))
    elif exchange.head.method == b"HEAD":
        # An answer to HEAD has no body, and ours say how long theirs is: end the connection instead.
        exchange.refuse(refusal("method_not_allowed").with_headers(b"allow: GET\r\n"), must_close=True)
    elif path == b"/health":
        exchange.answer(200, b'{"status":"ok"}')
    elif exchange.identify() is not None:
        _serve_known(exchange, path)


def _serve_known(exchange: Asker, path: bytes) -> None:
    if path == _MODELS:
        _models(exchange)
    elif path.startswith(_MODEL):
        _model(exchange, path[len(_MODEL) :].decode("ascii", "replace"))
    else:
        _receipt(exchange, path[len(_RECEIPTS) :])


def _shown(route: Route) -> dict[str, Any]:
    row = route.row
    owner = row.team_id or "platform"
    return {"id": row.names[0], "object": "model", "created": row.created_at, "owned_by": owner}


def _models(exchange: Asker) -> None:
    assert exchange.key is not None
    found = exchange.plane.tables.names_for(exchange.key)
    shown = sorted((_shown(route) for route in found), key=lambda one: str(one["id"]))
    exchange.answer(200, msgspec.json.encode({"object": "list", "data": shown}))


def _model(exchange: Asker, name: str) -> None:
    assert exchange.key is not None
    route = exchange.plane.tables.route_for(exchange.key, name)
    if route is None:
        exchange.refuse(refusal("model_not_found"))
    else:
        exchange.answer(200, msgspec.json.encode(_shown(route) | {"id": name}))


def _receipt(exchange: Asker, name: bytes) -> None:
    """The steward has them; the answer comes by `found`."""
    assert exchange.key is not None
    plane = exchange.plane
    if not _RECEIPT.fullmatch(name):
        exchange.refuse(refusal("receipt_not_found"))
        return
    key = exchange.key.row
    team = key.team_id
    if sum(whose == team for whose, _request in plane.receipts.values()) >= MOST_AT_ONCE:
        busy = refusal("rate_limited", f"{MOST_AT_ONCE} receipts of the team are being looked up.")
        exchange.refuse(busy.with_headers(b"retry-after: 1\r\n"))
        return
    number = plane.next_number()
    plane.receipts[number] = team, exchange
    wanted = messages.ReceiptWanted(number, key.id, name.decode())
    if not plane.send(wanted):
        del plane.receipts[number]
        exchange.refuse(refusal("billing_away"))


def found(exchange: Request, body: bytes | None) -> None:
    """The steward has looked."""
    if exchange.is_over:
        return
    if body is None:
        exchange.refuse(refusal("billing_away"))
    elif body:
        exchange.answer(200, body)
    else:
        exchange.refuse(refusal("receipt_not_found"))
