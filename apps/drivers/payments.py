"""The contract between the portal and whoever collects money: cards, payments, refunds, disputes, balances.

Amounts are whole minor units. Every method may be called again with the same key and then answers alike;
it raises nothing but `DriverError`. A declined card is an answer, not an error.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar


class Outcome(StrEnum):
    """Where the far side is, in our words."""

    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class Charge:
    """Money to collect. With a `method` it is taken at once, without one the customer is sent to a page."""

    key: str
    customer: str
    amount: int
    currency: str
    description: str
    return_url: str
    method: str = ""
    earlier: str = ""  # what this key was started as before, when that is known


@dataclass(frozen=True, slots=True)
class PaymentSeen:
    """A payment as the provider has it; `key` is ours, `intent` what refunds and disputes name."""

    id: str
    key: str
    outcome: Outcome
    amount: int
    currency: str
    at: datetime
    intent: str = ""
    pay_url: str = ""
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Setup:
    """A page on which a customer saves a card."""

    id: str
    url: str


@dataclass(frozen=True, slots=True)
class CardSeen:
    id: str
    brand: str
    last4: str
    expires: str


@dataclass(frozen=True, slots=True)
class RefundSeen:
    """A refund as the provider has it."""

    id: str
    key: str
    outcome: Outcome
    amount: int
    currency: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class DisputeSeen:
    """A contested payment; WAITING until it is won (SUCCEEDED) or lost (FAILED)."""

    id: str
    intent: str
    outcome: Outcome
    amount: int
    currency: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class BalanceLine:
    """One movement of the provider's balance; `source` is the payment, refund or dispute behind it."""

    id: str
    kind: str  # payment, refund, dispute, dispute_won, payout, other
    source: str
    amount: int
    fee: int
    currency: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Subject:
    """What a message of the provider is about: enough to go and look."""

    kind: str  # payment, refund, dispute, customer, other
    id: str


class PaymentDriver(ABC):
    """Collects money and gives it back."""

    kind: ClassVar[str]

    @abstractmethod
    def customer(self, *, key: str, name: str, email: str) -> str:
        """The provider's id of a customer, made when the key is new."""

    @abstractmethod
    def setup(self, *, key: str, customer: str, return_url: str) -> Setup:
        """A page on which the customer saves a card."""

    @abstractmethod
    def cards(self, customer: str) -> list[CardSeen]:
        """The cards that the customer has saved."""

    @abstractmethod
    def detach(self, card: str) -> None:
        """Forget a card; one that is gone already is no error."""

    @abstractmethod
    def start(self, charge: Charge) -> PaymentSeen:
        """Begin to collect; the same key again is the same payment."""

    @abstractmethod
    def payment(self, id: str) -> PaymentSeen:
        """A payment as it is now."""

    @abstractmethod
    def cancel(self, id: str) -> PaymentSeen:
        """Call a waiting payment off; what has happened already stays."""

    @abstractmethod
    def refund(self, *, key: str, intent: str, amount: int) -> RefundSeen:
        """Give part of a payment back; the same key again is the same refund."""

    @abstractmethod
    def refund_seen(self, id: str) -> RefundSeen:
        """A refund as it is now."""

    @abstractmethod
    def dispute(self, id: str) -> DisputeSeen:
        """A dispute as it is now."""

    @abstractmethod
    def lines(self, since: datetime, until: datetime) -> Iterator[BalanceLine]:
        """Every movement of the balance in a span, oldest first."""
