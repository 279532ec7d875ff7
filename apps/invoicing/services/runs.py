"""Beginning a month's invoices: one draft per team that used something."""

from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.specs import derived_uuid
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.errors import Conflict, Invalid, NotFound
from apps.core.ids import encode
from apps.core.permissions import Permission
from apps.core.queue import enqueue
from apps.invoicing.models import Invoice, InvoiceRun
from apps.invoicing.selectors import collecting, parties
from apps.invoicing.specs import GRACE, Period
from apps.invoicing.states import InvoiceState
from apps.operations import services as operations
from apps.operations.specs import OperationPlan, StepPlan, Target
from apps.operations.states import Plane

STEPS = (
    StepPlan("draft", Plane.ADMIN, is_done=True),
    StepPlan("grace", Plane.ADMIN),
    StepPlan("finalize", Plane.ADMIN),
)


@transaction.atomic
def open_run(*, actor: Actor, period: Period, now: Any = None) -> InvoiceRun:
    """Make drafts for every team with usage up to the end of the period; they become final by
    themselves an hour after it. Once per period."""
    actor.require(Permission.BILLING_MANAGE)
    now = now or db_now()
    if period.end > now:
        raise Invalid(_("This month is not over yet."), field="period")
    teams = collecting.teams_to_bill(period)
    entities = parties.entities_by_currency({currency for _team, currency in teams})
    run = _make(actor, period)
    drafts = [
        Invoice(
            pk=invoice_id(team, period),
            entity=entities[currency],
            team_id=team,
            run=run,
            currency=currency,
            period_start=period.start,
            period_end=period.end,
        )
        for team, currency in teams
    ]
    Invoice.objects.bulk_create(drafts, ignore_conflicts=True, batch_size=1000)
    plan = OperationPlan("invoices.run", STEPS, params={"period": period.label, "drafts": len(drafts)})
    operation = operations.open_operation(
        actor=actor, target=Target("invoice_run", run.pk, period.label), plan=plan, now=now
    )
    InvoiceRun.objects.filter(pk=run.pk).update(operation_id=operation.pk)
    audit.record(actor=actor, action="invoice_run.opened", target=run, drafts=len(drafts))
    enqueue("invoicing.advance")
    run.refresh_from_db()
    return run


@transaction.atomic
def resume_run(*, actor: Actor, run_id: str) -> int:
    """Try everything of a run again that could not be made final; how many drafts that were."""
    actor.require(Permission.BILLING_MANAGE)
    run: Any = InvoiceRun.objects.filter(pk=run_id).first()
    if run is None:
        raise NotFound(_("There is no such run."))
    parked = run.invoices.filter(state=InvoiceState.DRAFT).exclude(parked_because="")
    count: int = parked.update(parked_because="")
    audit.record(actor=actor, action="invoice_run.resumed", target=run, drafts=count)
    enqueue("invoicing.advance")
    return count


def invoice_id(team_id: str, period: Period) -> str:
    """The same team and period have the same invoice, whoever makes it."""
    return encode("inv", derived_uuid(period.end, "invoice", team_id))


def _make(actor: Actor, period: Period) -> InvoiceRun:
    try:
        with transaction.atomic():
            run: Any = InvoiceRun.objects.create(
                period_start=period.start,
                period_end=period.end,
                finalize_at=period.end + GRACE,
                created_by=actor.label[:200],
            )
    except IntegrityError as error:
        raise Conflict(_("The invoices of this month were begun before."), field="period") from error
    made: InvoiceRun = run
    return made
