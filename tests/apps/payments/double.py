"""A small Stripe on loopback, with a memory: customers, checkout, payment intents, cards that are declined,
refunds, disputes, balance transactions, idempotency keys, and events signed as the real ones are."""

import hashlib
import itertools
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from apps.drivers.stripe.signature import sign

KEY, SECRET = "sk_test_double", "whsec_double"
START = 1_772_366_400  # 2026-03-01 12:00 UTC
GOOD, DECLINED, POOR, CAREFUL, BAD = "4242", "0002", "9995", "3155", "0341"
REFUSALS = {
    DECLINED: ("card_declined", "generic_decline", "Your card was declined."),
    POOR: ("card_declined", "insufficient_funds", "Your card has insufficient funds."),
    BAD: ("card_declined", "generic_decline", "Your card was declined."),
    CAREFUL: ("authentication_required", "authentication_required", "Your card was declined."),
}


class Refused(Exception):
    def __init__(self, status: int, kind: str, **error: Any):
        super().__init__(kind)
        self.status, self.body = status, {"error": {"type": kind, **error}}


def _counted(amount: str, currency: str) -> int:
    """An amount as Stripe wants it: the last of three decimals is 0."""
    if currency == "kwd" and int(amount) % 10:
        raise Refused(400, "invalid_request_error", message="must be divisible by 10")
    return int(amount)


class Double:
    """The state, and what a customer, a bank or Stripe itself would do."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, tuple[str, int, dict[str, Any]]] = {}
        self.events: list[dict[str, Any]] = []
        self.lines: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.fails = 0  # answer the next so many requests with 500
        self._numbers = itertools.count(1)
        self.lock = threading.RLock()

    # ------------------------------------------------------------ what others do

    def save_card(self, customer: str, last4: str = GOOD) -> str:
        card = {"brand": "visa", "last4": last4, "exp_month": 12, "exp_year": 2040}
        made = self._make("pm", "payment_method", type="card", customer=customer, card=card)
        self.tell("payment_method.attached", made)
        return made["id"]

    def pay(self, session_id: str, last4: str = GOOD) -> None:
        """A customer fills in the checkout page; after a refusal the page stays open."""
        session = self.rows[session_id]
        intent = self.rows.get(session["payment_intent"] or "") or self._make(
            "pi",
            "payment_intent",
            amount=session["amount_total"],
            currency=session["currency"],
            status="requires_payment_method",
            metadata=session["payment_intent_data"].get("metadata", {}),
            customer=session["customer"],
            last_payment_error=None,
        )
        session["payment_intent"] = intent["id"]
        if self._charge(intent, last4):
            session |= {"status": "complete", "payment_status": "paid", "url": None}
            self.tell("checkout.session.completed", session)

    def finish_setup(self, session_id: str, last4: str = GOOD) -> str:
        session = self.rows[session_id]
        card = self.save_card(session["customer"], last4)
        session["status"] = "complete"
        self.tell("checkout.session.completed", session)
        return card

    def contest(self, intent_id: str, amount: int) -> str:
        dispute = self._make(
            "dp", "dispute", amount=amount, payment_intent=intent_id, status="needs_response",
            currency=self.rows[intent_id]["currency"], reason="fraudulent",
        )  # fmt: skip
        self._move("adjustment", dispute, -amount, fee=1500)
        self.tell("charge.dispute.created", dispute)
        return dispute["id"]

    def decide(self, dispute_id: str, *, won: bool) -> None:
        dispute = self.rows[dispute_id]
        dispute["status"] = "won" if won else "lost"
        if won:
            self._move("adjustment", dispute, dispute["amount"])
        self.tell("charge.dispute.closed", dispute)

    def settle_refund(self, refund_id: str, *, good: bool = True) -> None:
        refund = self.rows[refund_id]
        refund["status"] = "succeeded" if good else "failed"
        if not good:
            refund["failure_reason"] = "expired_or_canceled_card"
            self._move("refund_failure", refund, refund["amount"])
        self.tell("refund.updated", refund)

    def payout(self, amount: int, currency: str = "eur") -> None:
        self._move("payout", self._make("po", "payout", amount=amount, currency=currency), -amount)

    def tell(self, type: str, about: dict[str, Any]) -> None:
        event = self._make("evt", "event", type=type, data={"object": json.loads(json.dumps(about))})
        self.events.append(event)

    def signed(self, event: dict[str, Any], at: int | None = None) -> tuple[bytes, str]:
        """The body and the signature of a delivery made now."""
        body, stamp = json.dumps(event).encode(), at or int(time.time())
        return body, f"t={stamp},v1={sign(body, stamp, SECRET)},v0=old"

    # ------------------------------------------------------------ what the API does

    def answer(self, method: str, target: str, body: str, headers: Any) -> tuple[int, dict[str, Any]]:
        with self.lock:
            self.requests.append(f"{method} {target}")
            if self.fails:
                self.fails -= 1
                return 500, {"error": {"type": "api_error", "message": "out of order"}}
            if headers.get("Authorization") != f"Bearer {KEY}":
                return 401, {"error": {"type": "invalid_request_error", "message": "Invalid API Key"}}
            once = headers.get("Idempotency-Key") if method == "POST" else None
            print_of = hashlib.sha256(f"{target}\n{body}".encode()).hexdigest()
            if once in self.answers:
                known, status, said = self.answers[once]
                if known != print_of:
                    return 400, {"error": {"type": "idempotency_error", "message": "other parameters"}}
                return status, said
            try:
                status, said = 200, self._route(method, target, nested(parse_qsl(body)))
            except Refused as refusal:
                status, said = refusal.status, refusal.body
            said = json.loads(json.dumps(said))
            if once and status != 401:
                self.answers[once] = (print_of, status, said)
            return status, said

    def _route(self, method: str, target: str, given: dict[str, Any]) -> dict[str, Any]:
        address = urlsplit(target)
        parts = address.path.removeprefix("/v1/").split("/")
        if method == "GET":
            return self._get(parts, nested(parse_qsl(address.query)))
        match method, parts:
            case "POST", ["customers"]:
                return self._make("cus", "customer", **given)
            case "POST", ["checkout", "sessions"]:
                return self._session(given)
            case "POST", ["checkout", "sessions", name, "expire"]:
                return self._expire(self._find(name))
            case "POST", ["payment_intents"]:
                return self._intent(given)
            case "POST", ["payment_intents", name, "cancel"]:
                return self._cancel(self._find(name))
            case "POST", ["payment_methods", *rest]:
                return self._method(rest, given)
            case "POST", ["refunds"]:
                return self._refund(given)
        raise Refused(404, "invalid_request_error", message=f"Unrecognized request URL {method} {target}")

    def _method(self, rest: list[str], given: dict[str, Any]) -> dict[str, Any]:
        if not rest:
            last4 = given["card"]["number"][-4:]
            card = {"brand": "visa", "last4": last4, "exp_month": 12, "exp_year": 2040}
            return self._make("pm", "payment_method", type="card", customer=None, card=card)
        found = self._find(rest[0])
        if rest[1] == "detach" and not found["customer"]:
            raise Refused(400, "invalid_request_error", message="not attached")
        found["customer"] = given.get("customer")
        return found

    def _get(self, parts: list[str], query: dict[str, Any]) -> dict[str, Any]:
        if parts == ["payment_methods"]:
            return listed([r for r in self._all("payment_method") if r["customer"] == query["customer"]])
        if parts == ["balance_transactions"]:
            return self._balance(query)
        return self._expanded(self._find(parts[-1]), query)

    def _session(self, given: dict[str, Any]) -> dict[str, Any]:
        self._find(given["customer"])
        total = None
        currency = given.get("currency")
        if given["mode"] == "payment":
            price = given["line_items"]["0"]["price_data"]
            total, currency = _counted(price["unit_amount"], price["currency"]), price["currency"]
        made = self._make(
            "cs", "checkout.session", mode=given["mode"], customer=given["customer"], status="open",
            amount_total=total, currency=currency, payment_status="unpaid", payment_intent=None,
            metadata=given.get("metadata", {}), payment_intent_data=given.get("payment_intent_data", {}),
        )  # fmt: skip
        made["url"] = f"https://checkout.example/{made['id']}"
        return made

    def _expire(self, session: dict[str, Any]) -> dict[str, Any]:
        if session["status"] != "open":
            raise Refused(400, "invalid_request_error", message="Only open sessions expire.")
        session |= {"status": "expired", "url": None}
        self.tell("checkout.session.expired", session)
        return session

    def _intent(self, given: dict[str, Any]) -> dict[str, Any]:
        card = self._find(given["payment_method"])
        intent = self._make(
            "pi", "payment_intent", amount=_counted(given["amount"], given["currency"]),
            currency=given["currency"], status="requires_confirmation", last_payment_error=None,
            metadata=given.get("metadata", {}), customer=given["customer"],
        )  # fmt: skip
        if not self._charge(intent, card["card"]["last4"]):
            raise Refused(402, "card_error", **intent["last_payment_error"], payment_intent=intent)
        return intent

    def _cancel(self, intent: dict[str, Any]) -> dict[str, Any]:
        if intent["status"] == "succeeded":
            raise Refused(400, "invalid_request_error", message="already succeeded")
        intent["status"] = "canceled"
        return intent

    def _charge(self, intent: dict[str, Any], last4: str) -> bool:
        if last4 in REFUSALS:
            code, decline, message = REFUSALS[last4]
            intent["status"] = "requires_payment_method"
            intent["last_payment_error"] = {"code": code, "decline_code": decline, "message": message}
            self.tell("payment_intent.payment_failed", intent)
            return False
        intent |= {"status": "succeeded", "last_payment_error": None}
        charge = self._make("ch", "charge", payment_intent=intent["id"], currency=intent["currency"])
        self._move("charge", charge, intent["amount"], fee=intent["amount"] * 15 // 1000 + 25)
        self.tell("payment_intent.succeeded", intent)
        return True

    def _refund(self, given: dict[str, Any]) -> dict[str, Any]:
        intent = self._find(given["payment_intent"])
        amount = _counted(given["amount"], intent["currency"])
        before = sum(r["amount"] for r in self._all("refund") if r["payment_intent"] == intent["id"])
        if before + amount > intent["amount"]:
            raise Refused(400, "invalid_request_error", code="charge_already_refunded", message="too much")
        made = self._make(
            "re", "refund", amount=amount, payment_intent=intent["id"], currency=intent["currency"],
            status="pending", metadata=given.get("metadata", {}),
        )  # fmt: skip
        self._move("refund", made, -amount)
        self.tell("refund.created", made)
        return made

    def _balance(self, query: dict[str, Any]) -> dict[str, Any]:
        span = query["created"]
        rows = [r for r in self.lines if int(span["gte"]) <= r["created"] < int(span["lt"])]
        after = query.get("starting_after")
        if after:
            names = [r["id"] for r in rows]
            rows = rows[names.index(after) + 1 :]
        page = rows[: int(query.get("limit", 10))]
        shown = [{**row, "source": self.rows[row["source"]]} for row in page]
        return listed(shown, more=len(rows) > len(page), url="/v1/balance_transactions")

    def _move(self, type: str, source: dict[str, Any], amount: int, fee: int = 0) -> None:
        line = self._make(
            "txn", "balance_transaction", type=type, source=source["id"], amount=amount, fee=fee,
            net=amount - fee, currency=source["currency"],
        )  # fmt: skip
        self.lines.append(line)

    def _make(self, prefix: str, kind: str, **fields: Any) -> dict[str, Any]:
        number = next(self._numbers)
        prefix = "cs_test" if prefix == "cs" else prefix
        row = {"id": f"{prefix}_{number:06d}", "object": kind, "created": START + number, **fields}
        self.rows[row["id"]] = row
        return row

    def _find(self, name: str) -> dict[str, Any]:
        if name not in self.rows:
            raise Refused(404, "invalid_request_error", code="resource_missing", message=f"No such: {name}")
        return self.rows[name]

    def _all(self, kind: str) -> list[dict[str, Any]]:
        return [row for row in self.rows.values() if row["object"] == kind]

    def _expanded(self, row: dict[str, Any], query: dict[str, Any]) -> dict[str, Any]:
        wanted = query.get("expand", {}).values()
        return {**row, **{name: self.rows.get(row[name] or "") for name in wanted if name in row}}


def listed(rows: list[dict[str, Any]], *, more: bool = False, url: str = "/v1") -> dict[str, Any]:
    return {"object": "list", "data": rows, "has_more": more, "url": url}


def nested(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """`a[b][0]=c` as Stripe's clients write it."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        head, *rest = name.replace("]", "").split("[")
        place, keys = found, [head, *rest]
        for key in keys[:-1]:
            place = place.setdefault(key, {})
        place[keys[-1] or str(len(place))] = value
    return found


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        double: Double = self.server.double  # type: ignore[attr-defined]
        status, said = double.answer(self.command, self.path, body, self.headers)
        data = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = _serve  # noqa: N815
    do_POST = _serve  # noqa: N815

    def log_message(self, *_anything: object) -> None:
        return


class Server:
    """The double behind a port of the system's choosing."""

    def __init__(self) -> None:
        self.double = Double()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.double = self.double  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
