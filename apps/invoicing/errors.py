"""Refusals of invoicing."""

from apps.core.errors import Invalid


class NoEntity(Invalid):
    """No legal entity can issue invoices in that currency."""

    code = "no_legal_entity"


class TooMuch(Invalid):
    """More is to be credited than a line of the invoice holds."""

    code = "more_than_invoiced"
