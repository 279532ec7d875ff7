"""Companies, tax and finished months for tests."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from apps.core.actor import SYSTEM
from apps.invoicing import services
from apps.invoicing.models import Invoice, InvoiceRun, LegalEntity
from apps.invoicing.services.parties import Address, EntityWish, TaxWish
from apps.invoicing.specs import GRACE, Period
from apps.teams.models import Team

MARCH = Period.month(2026, 3)
CLOSED = MARCH.end + GRACE + timedelta(minutes=1)


def make_entity(**fields: Any) -> LegalEntity:
    wish = {
        "name": "Provider GmbH",
        "street": "Hafenstrasse 1",
        "postal_code": "20457",
        "city": "Hamburg",
        "country": "DE",
        "currency": "EUR",
        "number_prefix": "HAI",
        "tax_id": "DE123456789",
        "is_default": True,
    }
    return services.create_entity(actor=SYSTEM, wish=EntityWish(**{**wish, **fields}))


def make_tax(country: str, rate: str, **fields: Any) -> None:
    wish = {
        "country": country,
        "name": "VAT",
        "rate": Decimal(rate),
        "valid_from": date(2020, 1, 1),
        **fields,
    }
    services.add_tax_rate(actor=SYSTEM, wish=TaxWish(**wish))


def make_profile(team: Team, country: str = "DE", **fields: Any) -> None:
    address = Address(
        **{"name": f"{team.name} Ltd", "country": country, "email": "books@example.com", **fields}
    )
    services.save_profile(actor=SYSTEM, team=team, address=address)


def close(period: Period = MARCH, *, now: datetime = CLOSED) -> InvoiceRun:
    """Open the run of a month and make its drafts final."""
    from apps.invoicing import reconcilers

    run = services.open_run(actor=SYSTEM, period=period, now=now)
    reconcilers.advance_runs(now=now)
    run.refresh_from_db()
    return run


def invoice_of(team: Team) -> Invoice:
    return Invoice.objects.filter(team=team).latest("period_end")


def utc(*when: int) -> datetime:
    return datetime(*when, tzinfo=UTC)
