"""Work that comes round: months begin, drafts become final, open invoices are settled and reminded of."""

from datetime import datetime

import structlog
from django.db import DatabaseError, OperationalError, transaction
from django.db.models import Count, Exists, F, OuterRef, Q, Value
from django.db.models.functions import Greatest

from apps.billing.models import Wallet
from apps.core.actor import SYSTEM
from apps.core.clock import db_now
from apps.core.errors import DomainError
from apps.core.failpoints import failpoint
from apps.core.money import ZERO
from apps.invoicing import services
from apps.invoicing.models import Invoice, InvoiceRun, LegalEntity
from apps.invoicing.specs import REMINDERS, Period
from apps.invoicing.states import RUN, InvoiceState, RunState
from apps.operations import services as operations

log = structlog.get_logger(__name__)

BATCH = 200


def begin_month(*, now: datetime | None = None) -> bool:
    """Open last month's run once it is over; not before there is a company that bills."""
    now = now or db_now()
    period = Period.before(now)
    if not LegalEntity.objects.exists() or InvoiceRun.objects.filter(period_end=period.end).exists():
        return False
    services.open_run(actor=SYSTEM, period=period, now=now)
    return True


def advance_runs(*, now: datetime | None = None) -> int:
    """Finalize the drafts of every run whose grace period is over; how many became final.

    Several workers share the drafts; each takes rows that no other has, and may die at any moment.
    """
    moment, done = now or db_now(), 0
    rows = InvoiceRun.objects.exclude(state=RunState.DONE).filter(finalize_at__lte=moment)
    for run in rows.order_by("period_end"):
        _begin(run)
        done += _finalize_drafts(run, moment)
        failpoint("invoicing.run.drafts_done")
        _finish(run)
    return done


def settle_open() -> int:
    """Pay open invoices from balances that cover them by now, the oldest first."""
    left = Greatest(F("due_receivable") - F("amount_paid") - F("amount_credited"), Value(ZERO))
    enough = Wallet.objects.filter(team=OuterRef("team"), balance__gte=F("held") + OuterRef("left"))
    rows = Invoice.objects.unpaid().alias(left=left).filter(Exists(enough)).order_by("period_end")
    ids = list(rows.values_list("pk", flat=True)[:BATCH])
    return sum(services.settle_from_balance(actor=SYSTEM, invoice_id=pk) for pk in ids)


def remind_due(*, now: datetime | None = None) -> int:
    """Remind of every invoice that is overdue for long enough; how many reminders that were."""
    moment = now or db_now()
    overdue = Invoice.objects.unpaid().filter(due_at__lte=moment - REMINDERS[0]).order_by("due_at")
    ids = list(overdue.values_list("pk", flat=True))
    return sum(services.remind(actor=SYSTEM, invoice_id=pk, now=moment) is not None for pk in ids)


def _begin(run: InvoiceRun) -> None:
    if run.state == RunState.WAITING:
        InvoiceRun.objects.filter(pk=run.pk, state=RunState.WAITING).update(
            state=RUN.target("begin", RunState.WAITING)
        )
        if run.operation_id:
            operations.advance(operation_id=run.operation_id, step="finalize")
        run.state = RunState.RUNNING


def _finalize_drafts(run: InvoiceRun, now: datetime) -> int:
    """In batches of ids, so that workers that start together soon part ways."""
    done = 0
    tried: set[str] = set()
    while True:
        drafts = run.invoices.filter(state=InvoiceState.DRAFT, parked_because="").order_by("pk")
        fresh = [pk for pk in drafts.values_list("pk", flat=True)[: BATCH + len(tried)] if pk not in tried]
        if not fresh:
            return done
        for pk in fresh:
            tried.add(pk)
            done += _finalize(pk, now)


def _finalize(invoice_id: str, now: datetime) -> bool:
    """One invoice; what cannot be made is parked with its reason, so that it holds up no other. What
    only the moment forbids (a lock, a lost connection) is tried again next time."""
    try:
        made = services.finalize_invoice(actor=SYSTEM, invoice_id=invoice_id, now=now)
    except OperationalError:
        log.exception("invoice_postponed", invoice=invoice_id)
        return False
    except (DomainError, DatabaseError) as error:
        log.exception("invoice_parked", invoice=invoice_id)
        Invoice.objects.filter(pk=invoice_id, state=InvoiceState.DRAFT).update(
            parked_because=str(error)[:300]
        )
        return False
    return made is not None and made.state != InvoiceState.DRAFT


@transaction.atomic
def _finish(run: InvoiceRun) -> None:
    """The run is over when no draft is left; parked ones keep it open."""
    locked = InvoiceRun.objects.select_for_update().get(pk=run.pk)
    left = run.invoices.aggregate(drafts=Count("pk", filter=Q(state=InvoiceState.DRAFT)))["drafts"]
    if left or locked.state != RunState.RUNNING:
        return
    locked.state = RUN.target("finish", locked.state)
    locked.finished_at = db_now()
    locked.save(update_fields=["state", "finished_at"])
    if locked.operation_id:
        operations.finish(operation_id=locked.operation_id)
