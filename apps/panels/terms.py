"""Fees and commitments, as the Console and the Admin panel show them."""

from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.billing.models import Commitment
from apps.panels.kit import Column, cells

_FROM = Column("from", _("From"), lambda one: f"{one.starts_on:%Y-%m-%d}", mono=True, priority=2)
_UNTIL = Column(
    "until",
    _("Until"),
    lambda one: f"{one.ends_on:%Y-%m-%d}" if one.ends_on else cells.NONE,
    mono=True,
    priority=3,
)


def _money(name: str, label: Any, **more: Any) -> Column:
    """Nothing is a dash."""
    return Column(
        name,
        label,
        lambda one: cells.money(getattr(one, name), one.team.currency) if getattr(one, name) else cells.NONE,
        num=True,
        **more,
    )


def fee_columns() -> tuple[Column, ...]:
    """Of rows with their team."""
    return (
        Column("name", _("Fee"), lambda one: one.name, main=True),
        Column("period", _("How often"), lambda one: one.get_period_display(), priority=2),
        _FROM,
        _UNTIL,
        _money("included", _("Credit included"), priority=2),
        _money("amount", _("Amount")),
    )


def commitment_columns() -> tuple[Column, ...]:
    return (
        Column("name", _("Commitment"), lambda one: one.name, main=True),
        Column(
            "products",
            _("For"),
            lambda one: cells.mono(f"{one.products}…") if one.products else _now("everything"),
            priority=2,
        ),
        _FROM,
        _UNTIL,
        _money("amount", _("A month")),
    )


def progress_row(one: Commitment, used: Decimal) -> tuple[Any, float, Any, str]:
    """How much of a commitment is used, for `Shares`."""
    share, currency = used / one.amount, one.team.currency
    text = f"{cells.money(used, currency)} / {cells.money(one.amount, currency)}"
    return one.name, float(share), text, "ok" if share >= 1 else "s1"
