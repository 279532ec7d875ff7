"""Stripe's words to ours, and back; pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from apps.drivers.payments import (
    BalanceLine,
    CardSeen,
    DisputeSeen,
    Outcome,
    PaymentSeen,
    RefundSeen,
    Subject,
)

KEY = "hostedai"  # our id, in the metadata of everything we make

_INTENT = {
    "succeeded": Outcome.SUCCEEDED,
    "canceled": Outcome.CANCELED,
    "requires_payment_method": Outcome.FAILED,
}
_SESSION = {"complete": Outcome.WAITING, "expired": Outcome.CANCELED, "open": Outcome.WAITING}
_REFUND = {
    "succeeded": Outcome.SUCCEEDED,
    "failed": Outcome.FAILED,
    "canceled": Outcome.FAILED,
}
_DISPUTE = {"won": Outcome.SUCCEEDED, "lost": Outcome.FAILED, "warning_closed": Outcome.SUCCEEDED}
_BALANCE = {
    "charge": "payment",
    "payment": "payment",
    "refund": "refund",
    "payment_refund": "refund",
    "refund_failure": "refund_failed",
    "payout": "payout",
}
_SUBJECTS = {
    "checkout.session": "payment",
    "payment_intent": "payment",
    "refund": "refund",
    "dispute": "dispute",
    "customer": "customer",
}


def intent_seen(intent: Mapping[str, Any]) -> PaymentSeen:
    """A payment intent. One that waits for another card after a refusal has failed for us."""
    problem = intent.get("last_payment_error") or {}
    outcome = _INTENT.get(intent["status"], Outcome.WAITING)
    if outcome == Outcome.FAILED and not problem:
        outcome = Outcome.WAITING
    return PaymentSeen(
        id=intent["id"],
        key=(intent.get("metadata") or {}).get(KEY, ""),
        outcome=outcome,
        amount=intent["amount"],
        currency=intent["currency"].upper(),
        at=moment(intent["created"]),
        intent=intent["id"],
        code=problem.get("decline_code") or problem.get("code") or "",
        message=problem.get("message") or "",
    )


def session_seen(session: Mapping[str, Any]) -> PaymentSeen:
    """A checkout session: paid as soon as its intent is; a refused card may be tried again on its page."""
    intent = session.get("payment_intent")
    is_paid = session.get("payment_status") == "paid"
    at = intent["created"] if is_paid and isinstance(intent, Mapping) else session["created"]
    return PaymentSeen(
        id=session["id"],
        key=(session.get("metadata") or {}).get(KEY, ""),
        outcome=Outcome.SUCCEEDED if is_paid else _SESSION.get(session["status"], Outcome.WAITING),
        amount=session["amount_total"],
        currency=session["currency"].upper(),
        at=moment(at),
        intent=(intent["id"] if isinstance(intent, Mapping) else intent) or "",
        pay_url=session.get("url") or "",
    )


def card_seen(method: Mapping[str, Any]) -> CardSeen:
    card = method.get("card") or {}
    expires = f"{card['exp_month']:02d}/{card['exp_year']}" if card.get("exp_year") else ""
    return CardSeen(
        method["id"], str(card.get("brand") or method["type"]), str(card.get("last4", "")), expires
    )


def refund_seen(refund: Mapping[str, Any]) -> RefundSeen:
    return RefundSeen(
        id=refund["id"],
        key=(refund.get("metadata") or {}).get(KEY, ""),
        outcome=_REFUND.get(refund["status"], Outcome.WAITING),
        amount=refund["amount"],
        currency=refund["currency"].upper(),
        message=refund.get("failure_reason") or "",
    )


def dispute_seen(dispute: Mapping[str, Any]) -> DisputeSeen:
    return DisputeSeen(
        id=dispute["id"],
        intent=dispute.get("payment_intent") or "",
        outcome=_DISPUTE.get(dispute["status"], Outcome.WAITING),
        amount=dispute["amount"],
        currency=dispute["currency"].upper(),
        reason=dispute.get("reason") or "",
        at=moment(dispute["created"]),
    )


def balance_line(line: Mapping[str, Any]) -> BalanceLine:
    """`source` of a charge is expanded, so that its payment intent is known."""
    source = line.get("source") or {}
    kind = _BALANCE.get(line["type"], "other")
    if line["type"] == "adjustment" and isinstance(source, Mapping) and source.get("object") == "dispute":
        kind = "dispute" if line["amount"] < 0 else "dispute_won"
    named = source if isinstance(source, str) else source.get("payment_intent") or source.get("id") or ""
    if kind in ("refund", "refund_failed", "dispute", "dispute_won") and isinstance(source, Mapping):
        named = source.get("id", "")
    return BalanceLine(
        id=line["id"],
        kind=kind,
        source=named,
        amount=line["amount"],
        fee=line["fee"],
        currency=line["currency"].upper(),
        at=moment(line["created"]),
    )


def subject_of(event: Mapping[str, Any]) -> Subject:
    """What an event is about, and nothing of what it says."""
    found = event["data"]["object"]
    kind = _SUBJECTS.get(found.get("object", ""), "other")
    if found.get("object") == "checkout.session" and found.get("mode") == "setup":
        return Subject("customer", str(found.get("customer") or ""))
    if found.get("object") == "payment_method":
        return Subject("customer", str(found.get("customer") or ""))
    return Subject(kind, str(found.get("id", "")))


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
