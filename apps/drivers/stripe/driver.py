"""Stripe behind the contract: the official SDK, our ids as idempotency keys, its errors in our words."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, ClassVar

import stripe

from apps.drivers.errors import BadCredentials, Rejected, Transient
from apps.drivers.payments import (
    BalanceLine,
    CardSeen,
    Charge,
    DisputeSeen,
    PaymentDriver,
    PaymentSeen,
    RefundSeen,
    Setup,
)
from apps.drivers.stripe import mapping
from apps.drivers.stripe.config import StripeConfig
from apps.drivers.stripe.mapping import KEY

CHECKOUT = "cs_"
PAGE = 100


class StripeDriver(PaymentDriver):
    """Makes checkout pages, charges saved cards, gives back, and reads the balance."""

    kind: ClassVar[str] = "stripe"

    def __init__(self, config: StripeConfig) -> None:
        options: dict[str, Any] = {}
        if config.api_url:
            options["base_addresses"] = {"api": config.api_url}
        self._client = stripe.StripeClient(
            config.secret_key.get_secret_value(),
            http_client=stripe.RequestsClient(timeout=config.timeout_seconds),
            max_network_retries=1,
            **options,
        ).v1

    def customer(self, *, key: str, name: str, email: str) -> str:
        params: Any = {"name": name, "metadata": {KEY: key}}
        if email:
            params["email"] = email
        with _translated():
            return str(self._client.customers.create(params, _once("cus", key)).id)

    def setup(self, *, key: str, customer: str, return_url: str) -> Setup:
        params: Any = {
            "mode": "setup",
            "customer": customer,
            "currency": "eur",
            "success_url": return_url,
            "cancel_url": return_url,
            "metadata": {KEY: key},
        }
        with _translated():
            session = self._client.checkout.sessions.create(params, _once("setup", key))
        return Setup(session.id, str(session.url))

    def cards(self, customer: str) -> list[CardSeen]:
        with _translated():
            found = self._client.payment_methods.list({"customer": customer, "type": "card", "limit": PAGE})
            return [mapping.card_seen(_plain(one)) for one in found.data]

    def detach(self, card: str) -> None:
        try:
            with _translated():
                self._client.payment_methods.detach(card)
        except Rejected:  # it is gone, or was never attached
            return

    def start(self, charge: Charge) -> PaymentSeen:
        return self._take(charge) if charge.method else self._checkout(charge)

    def payment(self, id: str) -> PaymentSeen:
        with _translated():
            if id.startswith(CHECKOUT):
                session = self._client.checkout.sessions.retrieve(id, {"expand": ["payment_intent"]})
                return mapping.session_seen(_plain(session))
            return mapping.intent_seen(_plain(self._client.payment_intents.retrieve(id)))

    def cancel(self, id: str) -> PaymentSeen:
        try:
            with _translated():
                if id.startswith(CHECKOUT):
                    self._client.checkout.sessions.expire(id)
                else:
                    self._client.payment_intents.cancel(id)
        except Rejected:  # it is over already: what it became is asked for below
            pass
        return self.payment(id)

    def refund(self, *, key: str, intent: str, amount: int) -> RefundSeen:
        params: Any = {"payment_intent": intent, "amount": amount, "metadata": {KEY: key}}
        with _translated():
            return mapping.refund_seen(_plain(self._client.refunds.create(params, _once("rfd", key))))

    def refund_seen(self, id: str) -> RefundSeen:
        with _translated():
            return mapping.refund_seen(_plain(self._client.refunds.retrieve(id)))

    def dispute(self, id: str) -> DisputeSeen:
        with _translated():
            return mapping.dispute_seen(_plain(self._client.disputes.retrieve(id)))

    def lines(self, since: datetime, until: datetime) -> Iterator[BalanceLine]:
        span = {"gte": int(since.timestamp()), "lt": int(until.timestamp())}
        params: Any = {"created": span, "limit": PAGE, "expand": ["data.source"]}
        with _translated():
            listed = self._client.balance_transactions.list(params)
            found = [mapping.balance_line(_plain(one)) for one in listed.auto_paging_iter()]
        yield from sorted(found, key=lambda line: (line.at, line.id))

    def _checkout(self, charge: Charge) -> PaymentSeen:
        product = {"name": charge.description}
        price = {"currency": charge.currency.lower(), "unit_amount": charge.amount, "product_data": product}
        params: Any = {
            "mode": "payment",
            "customer": charge.customer,
            "client_reference_id": charge.key,
            "line_items": [{"price_data": price, "quantity": 1}],
            "payment_intent_data": {"metadata": {KEY: charge.key}},
            "metadata": {KEY: charge.key},
            "success_url": charge.return_url,
            "cancel_url": charge.return_url,
        }
        with _translated():
            session = self._client.checkout.sessions.create(params, _once("pay", charge.key))
        return mapping.session_seen(_plain(session))

    def _take(self, charge: Charge) -> PaymentSeen:
        params: Any = {
            "amount": charge.amount,
            "currency": charge.currency.lower(),
            "customer": charge.customer,
            "payment_method": charge.method,
            "confirm": True,
            "off_session": True,
            "metadata": {KEY: charge.key},
        }
        if charge.description:
            params["description"] = charge.description
        try:
            with _translated():
                intent = self._client.payment_intents.create(params, _once("pay", charge.key))
        except _Declined as declined:
            return mapping.intent_seen(declined.intent)
        return mapping.intent_seen(_plain(intent))


class _Declined(Exception):
    """The bank said no; the intent exists and says why."""

    def __init__(self, intent: dict[str, Any]) -> None:
        super().__init__(intent["id"])
        self.intent = intent


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except stripe.CardError as error:
        said: Any = error.json_body or {}
        body = said.get("error", {})
        if body.get("payment_intent"):
            raise _Declined(body["payment_intent"]) from error
        raise Rejected(str(error.user_message or error)) from error
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        raise BadCredentials("The payment provider does not accept our key.", detail=str(error)) from error
    except stripe.InvalidRequestError as error:
        raise Rejected(str(error.user_message or error), detail=str(error)) from error
    except stripe.StripeError as error:
        raise Transient("The payment provider does not answer.", detail=str(error)) from error


def _once(what: str, key: str) -> Any:
    """The same request again is answered alike, and done once."""
    return {"idempotency_key": f"{what}-{key}"}


def _plain(found: Any) -> dict[str, Any]:
    """An object of the SDK as plain dictionaries."""
    made: dict[str, Any] = found.to_dict()
    return made
