"""Killed anywhere between usage and money, and looked at again: the same invoice, to the last hash."""

import os
import random
import signal
from contextlib import ExitStack
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from apps.billing.models import Transaction
from apps.billing.selectors import proofs
from apps.billing.services import charging
from apps.billing.specs import Rate
from apps.core import failpoints
from apps.core.actor import SYSTEM
from apps.invoicing import reconcilers, services
from apps.invoicing.models import DocumentSequence, Invoice, InvoiceRun
from apps.invoicing.states import InvoiceState
from apps.payments import reconcilers as paying
from apps.payments import services as payments
from apps.payments.models import Payment
from tests.factories.billing import after, begin, make_price, make_team, resource
from tests.factories.invoicing import CLOSED, MARCH, make_entity, make_profile, make_tax
from tests.faults.harness import child, wait_for

pytestmark = [pytest.mark.serial, pytest.mark.django_db(transaction=True)]

POINTS = ("collected", "posted", "lines", "numbered")
PAYING = ("payments.payment.seen", "payments.payment.applied")
FINALIZERS, TEAMS, WAVES = 8, 20, 4


def drafts(count: int) -> list[str]:
    """So many teams that each used something in March, with their drafts; none can pay its tax."""
    make_entity()
    make_tax("DE", "0.19")
    make_price("type:small", "1.2345")
    for n in range(count):
        team = make_team("12.35")
        make_profile(team)
        machine = resource()
        begin(team, machine, Rate("type:small"), now=after(minutes=n))
        charging.end(resource_id=machine, now=after(minutes=n, hours=10))
    run = services.open_run(actor=SYSTEM, period=MARCH, now=CLOSED)
    return list(run.invoices.order_by("pk").values_list("pk", flat=True))


def finalize(invoice_id: str) -> Invoice:
    made = services.finalize_invoice(actor=SYSTEM, invoice_id=invoice_id, now=CLOSED)
    assert made is not None
    return made


def undisturbed(invoice_id: str) -> str:
    """The hash that the invoice gets when nothing happens; it is undone again."""
    with transaction.atomic():
        found = finalize(invoice_id).content_hash
        transaction.set_rollback(True)
    return found


def sound() -> None:
    broken = [(one.name, one.examples) for one in proofs.verify() if not one.is_ok]
    assert not broken, broken


def test_a_killed_finalizer_leaves_the_same_invoice(db: None) -> None:
    ids = drafts(len(POINTS))
    seen: list[str] = []
    with failpoints.watching(seen.append):
        undisturbed(ids[0])
    assert {f"invoicing.finalize.{point}" for point in POINTS} <= set(seen)
    for invoice_id, point in zip(ids, POINTS, strict=True):
        wanted = undisturbed(invoice_id)

        def work(invoice_id: str = invoice_id, point: str = point) -> None:
            failpoints.arm(f"invoicing.finalize.{point}", "kill")
            finalize(invoice_id)

        with child(work) as pid:
            assert os.WIFSIGNALED(wait_for(pid))
        assert Invoice.objects.get(pk=invoice_id).state == InvoiceState.DRAFT, point
        assert finalize(invoice_id).content_hash == wanted, point
    sound()


def test_a_killed_payment_is_booked_once(db: None, settings: Any) -> None:
    settings.FAKE_PAYMENTS = True
    ids = drafts(len(PAYING))
    for invoice_id, point in zip(ids, PAYING, strict=True):
        invoice = finalize(invoice_id)
        wanted = invoice.content_hash
        asked = {"actor": SYSTEM, "invoice_id": invoice_id, "team": invoice.team}
        payment = payments.pay_invoice(provider="fake", **asked)

        def work(payment_id: str = str(payment.pk), point: str = point) -> None:
            failpoints.arm(point, "kill")
            paying.reconcile_payment(payment_id=payment_id)

        with child(work) as pid:
            assert os.WIFSIGNALED(wait_for(pid))
        paying.reconcile_payment(payment_id=str(payment.pk))
        invoice.refresh_from_db()
        assert (invoice.state, invoice.content_hash) == (InvoiceState.PAID, wanted), point
        assert Payment.objects.get(pk=payment.pk).state == "succeeded"
    assert Transaction.objects.filter(kind="payment").count() == len(PAYING)
    sound()


def doomed(seed: int) -> None:
    """A worker of the run that is killed at one of the first places it comes to."""
    chance = random.Random(seed)
    left = chance.randrange(2, 14)

    def count(_name: str) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    with failpoints.watching(count):
        reconcilers.advance_runs(now=CLOSED)


def test_numbers_have_no_gap_under_eight_killed_finalizers(db: None) -> None:
    drafts(TEAMS)
    for wave in range(WAVES):
        with ExitStack() as stack:
            pids = [
                stack.enter_context(child(lambda seed=wave * FINALIZERS + n: doomed(seed)))
                for n in range(FINALIZERS)
            ]
            for pid in pids:
                wait_for(pid)
    reconcilers.advance_runs(now=CLOSED)
    assert InvoiceRun.objects.get().state == "done"
    assert not Invoice.objects.exclude(parked_because="").exists()
    serials = sorted(Invoice.objects.final().values_list("serial", flat=True))
    assert serials == list(range(1, TEAMS + 1))
    assert DocumentSequence.objects.get(kind="invoice").next_number == TEAMS + 1
    assert Invoice.objects.filter(total=Decimal("14.68")).count() == TEAMS
    sound()
