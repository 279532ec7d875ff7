"""What payments, refunds, disputes and webhook events may become."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from apps.core.states import Machine


class Provider(TextChoices):
    """Through whom money comes."""

    STRIPE = "stripe", _("Card")
    BANK = "bank", _("Bank transfer")
    FAKE = "fake", _("Test payment")


class Purpose(TextChoices):
    """What a payment is for."""

    TOP_UP = "top_up", _("Top-up")
    INVOICE = "invoice", _("Invoice")


class PaymentState(TextChoices):
    """Where a payment is. `pending`: asked for here; `waiting`: known to the provider, waits for the
    customer or the bank."""

    PENDING = "pending", _("Being prepared")
    WAITING = "waiting", _("Waiting")
    SUCCEEDED = "succeeded", _("Received")
    FAILED = "failed", _("Failed")
    CANCELED = "canceled", _("Cancelled")


OPEN = (PaymentState.PENDING, PaymentState.WAITING)

# Money may still arrive for what was given up: a bank transfer, or a card that was tried again.
PAYMENT = Machine.of(
    ("wait", {PaymentState.PENDING}, PaymentState.WAITING),
    ("succeed", set(PaymentState) - {PaymentState.SUCCEEDED}, PaymentState.SUCCEEDED),
    ("fail", set(OPEN), PaymentState.FAILED),
    ("cancel", set(OPEN), PaymentState.CANCELED),
)


class RefundState(TextChoices):
    """Where a refund is. Above the limit a second person has to agree."""

    REQUESTED = "requested", _("Waits for approval")
    APPROVED = "approved", _("Approved")
    WAITING = "waiting", _("On its way")
    SUCCEEDED = "succeeded", _("Refunded")
    REJECTED = "rejected", _("Rejected")
    FAILED = "failed", _("Failed")


REFUND = Machine.of(
    ("approve", {RefundState.REQUESTED}, RefundState.APPROVED),
    ("reject", {RefundState.REQUESTED}, RefundState.REJECTED),
    ("wait", {RefundState.APPROVED}, RefundState.WAITING),
    ("succeed", {RefundState.APPROVED, RefundState.WAITING}, RefundState.SUCCEEDED),
    ("fail", {RefundState.APPROVED, RefundState.WAITING}, RefundState.FAILED),
)


class DisputeState(TextChoices):
    """Where a disputed payment is."""

    OPEN = "open", _("Open")
    WON = "won", _("Won")
    LOST = "lost", _("Lost")


DISPUTE = Machine.of(
    ("win", {DisputeState.OPEN}, DisputeState.WON),
    ("lose", {DisputeState.OPEN}, DisputeState.LOST),
)
