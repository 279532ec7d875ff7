"""What this installation has set up: ways of paying, what is missing for the others, and limits."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.utils.translation import gettext as _

from apps.invoicing.models import LegalEntity
from apps.payments.models import Payment
from apps.payments.states import Provider


@dataclass(frozen=True, slots=True)
class Way:
    """A way of paying; `missing` says why it cannot be used."""

    provider: Provider
    missing: str = ""

    @property
    def is_open(self) -> bool:
        return not self.missing


def ways() -> list[Way]:
    """All of them; what is not set up says so, and the rest works."""
    return [one for provider in Provider for one in [_way(provider)] if one is not None]


def open_ways() -> list[Provider]:
    return [way.provider for way in ways() if way.is_open]


def is_open(provider: str) -> bool:
    return provider in open_ways()


def card_provider() -> Provider | None:
    """Where cards are kept: Stripe when there is one, else the test cards, else nowhere."""
    return next((one for one in (Provider.STRIPE, Provider.FAKE) if is_open(one)), None)


def refund_limit(currency: str) -> Decimal:
    """How much of one payment may go back before a second person has to agree."""
    return Decimal(settings.REFUND_APPROVAL_ABOVE.get(currency, 0))


def bank_details(payment: Payment) -> str:
    """Where to send a transfer to: the company whose invoice it pays, or that of its currency."""
    if payment.invoice is not None and payment.invoice.entity_id and payment.invoice.entity.bank_details:
        return str(payment.invoice.entity.bank_details)
    rows: Any = LegalEntity.objects.exclude(bank_details="").annotate(fits=Q(currency=payment.currency))
    found: str | None = (
        rows.order_by("-fits", "-is_default", "created_at").values_list("bank_details", flat=True).first()
    )
    return found or ""


def _way(provider: Provider) -> Way | None:
    if provider == Provider.STRIPE:
        missing = [
            name for name in ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET") if not getattr(settings, name)
        ]
        return Way(provider, _("Not set up: %(names)s") % {"names": ", ".join(missing)} if missing else "")
    if provider == Provider.BANK:
        has_bank = LegalEntity.objects.exclude(bank_details="").exists()
        return Way(provider, "" if has_bank else _("No company has bank details."))
    return Way(provider) if settings.FAKE_PAYMENTS else None
