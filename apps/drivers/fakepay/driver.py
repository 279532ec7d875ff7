"""Money that is none, for trying things out: every payment succeeds at once but those ending in 13."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import ClassVar

from apps.drivers.payments import (
    BalanceLine,
    CardSeen,
    Charge,
    DisputeSeen,
    Outcome,
    PaymentDriver,
    PaymentSeen,
    RefundSeen,
    Setup,
)

UNLUCKY = 13


class FakePayDriver(PaymentDriver):
    """Keeps nothing: what it says follows from what it is asked."""

    kind: ClassVar[str] = "fake"

    def __init__(self, config: object = None) -> None:
        del config

    def customer(self, *, key: str, name: str, email: str) -> str:
        return f"fake_{key}"

    def setup(self, *, key: str, customer: str, return_url: str) -> Setup:
        return Setup(f"fake_{key}", return_url)

    def cards(self, customer: str) -> list[CardSeen]:
        return [CardSeen(f"fake_card_{customer}", "test card", "4242", "12/2040")]

    def detach(self, card: str) -> None:
        return None

    def start(self, charge: Charge) -> PaymentSeen:
        return self._seen(charge.key, charge.amount, charge.currency)

    def payment(self, id: str) -> PaymentSeen:
        _fake, key, amount, currency = id.split("-")
        return self._seen(key, int(amount), currency)

    def cancel(self, id: str) -> PaymentSeen:
        return self.payment(id)

    def refund(self, *, key: str, intent: str, amount: int) -> RefundSeen:
        return RefundSeen(f"fakeref-{key}-{amount}", key, Outcome.SUCCEEDED, amount, intent.split("-")[3])

    def refund_seen(self, id: str) -> RefundSeen:
        _fake, key, amount = id.split("-")
        return RefundSeen(id, key, Outcome.SUCCEEDED, int(amount), "")

    def dispute(self, id: str) -> DisputeSeen:
        raise NotImplementedError("nobody contests money that is none")

    def lines(self, since: datetime, until: datetime) -> Iterator[BalanceLine]:
        yield from ()

    def _seen(self, key: str, amount: int, currency: str) -> PaymentSeen:
        is_refused = amount % 100 == UNLUCKY
        name = f"fake-{key}-{amount}-{currency}"
        return PaymentSeen(
            id=name,
            key=key,
            outcome=Outcome.FAILED if is_refused else Outcome.SUCCEEDED,
            amount=amount,
            currency=currency,
            at=datetime.now(UTC),
            intent=name,
            code="card_declined" if is_refused else "",
            message="The test card was declined." if is_refused else "",
        )
