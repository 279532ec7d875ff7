"""What an invoice and a run of invoices may become."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from apps.core.states import Machine


class InvoiceState(TextChoices):
    """Where an invoice is. Only a draft may still change; whatever is later has a number."""

    DRAFT = "draft", _("Draft")
    OPEN = "open", _("Open")
    PAID = "paid", _("Paid")
    UNCOLLECTIBLE = "uncollectible", _("Uncollectible")
    VOID = "void", _("Void")


INVOICE = Machine.of(
    ("finalize", {InvoiceState.DRAFT}, InvoiceState.OPEN),
    ("pay", {InvoiceState.OPEN, InvoiceState.UNCOLLECTIBLE}, InvoiceState.PAID),
    ("give_up", {InvoiceState.OPEN}, InvoiceState.UNCOLLECTIBLE),
    ("void", {InvoiceState.OPEN, InvoiceState.UNCOLLECTIBLE}, InvoiceState.VOID),
)


class RunState(TextChoices):
    """How far a run of a month's invoices is."""

    WAITING = "waiting", _("Waiting for the grace period")
    RUNNING = "running", _("Running")
    DONE = "done", _("Done")


RUN = Machine.of(
    ("begin", {RunState.WAITING}, RunState.RUNNING),
    ("finish", {RunState.RUNNING}, RunState.DONE),
)


class LineKind(TextChoices):
    """What a line of an invoice stands for."""

    USAGE = "usage", _("Usage")
    PRIOR_PERIOD = "prior_period", _("Usage of an earlier period")
    FEE = "fee", _("Fee")
    PROMOTION = "promotion", _("Credit granted")
    TAX = "tax", _("Tax")
