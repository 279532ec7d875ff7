"""Overdue invoices are reminded of: each level once, by mail and event, whatever dies in between."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from apps.billing.services import charging
from apps.billing.specs import Rate
from apps.core import failpoints
from apps.core.actor import SYSTEM
from apps.core.failpoints import FailpointError
from apps.invoicing import reconcilers, services
from apps.invoicing.models import Invoice, Reminder
from apps.invoicing.services import mailing
from apps.invoicing.services.settling import Received
from apps.invoicing.specs import REMINDERS, overdue_level
from apps.operations.models import Event
from tests.factories.billing import after, begin, make_price, make_team, resource
from tests.factories.invoicing import CLOSED, close, invoice_of, make_entity, make_profile, make_tax

pytestmark = pytest.mark.django_db


@pytest.fixture
def owed() -> Invoice:
    """An invoice whose tax the balance did not cover."""
    make_entity()
    make_tax("DE", "0.19")
    make_price("type:small", "1.2345")
    team = make_team("12.35")
    make_profile(team)
    machine = resource()
    begin(team, machine, Rate("type:small"))
    charging.end(resource_id=machine, now=after(hours=10))
    close()
    found = invoice_of(team)
    assert found.amount_due
    return found


@pytest.fixture(autouse=True)
def _disarmed() -> Any:
    yield
    failpoints.disarm()


def test_each_level_is_said_once_and_missed_ones_are_left_out(owed: Invoice, mailoutbox: Any) -> None:
    due = owed.due_at
    assert reconcilers.remind_due(now=due + REMINDERS[0] - timedelta(seconds=1)) == 0
    for days in (3, 4, 9):
        reconcilers.remind_due(now=due + timedelta(days=days))
    assert [one.level for one in Reminder.objects.all()] == [1]
    assert reconcilers.remind_due(now=due + timedelta(days=40)) == 1
    assert reconcilers.remind_due(now=due + timedelta(days=400)) == 0
    assert sorted(Reminder.objects.values_list("level", flat=True)) == [1, 3]
    assert Event.objects.filter(type="invoice.reminded").count() == 2
    assert mailing.mail_reminders(actor=SYSTEM) == 2
    assert mailing.mail_reminders(actor=SYSTEM) == 0
    assert [mail.to for mail in mailoutbox] == [["books@example.com"]] * 2
    assert "last reminder" in mailoutbox[1].body
    assert owed.number in mailoutbox[0].subject
    assert len({mail.extra_headers["Message-ID"] for mail in mailoutbox}) == 2


def test_who_has_paid_is_not_reminded(owed: Invoice) -> None:
    late = owed.due_at + timedelta(days=30)
    received = Received("pay_1", owed.amount_due, services.settling.AccountKind.FUNDING, CLOSED, "Wire")
    services.book_payment(actor=SYSTEM, invoice_id=owed.pk, received=received)
    assert reconcilers.remind_due(now=late) == 0
    assert services.remind(actor=SYSTEM, invoice_id=owed.pk, now=late) is None


@pytest.mark.parametrize("point", ["invoicing.remind.noted", "invoicing.remind.mailed"])
def test_what_dies_in_between_is_done_again_and_told_apart(
    owed: Invoice, mailoutbox: Any, point: str
) -> None:
    late = owed.due_at + timedelta(days=5)

    def both() -> None:
        reconcilers.remind_due(now=late)
        mailing.mail_reminders(actor=SYSTEM)

    failpoints.arm(point, "raise")
    with pytest.raises(FailpointError):
        both()
    failpoints.disarm()
    both()
    both()
    assert Reminder.objects.count() == Event.objects.filter(type="invoice.reminded").count() == 1
    assert len({mail.extra_headers["Message-ID"] for mail in mailoutbox}) == 1
    assert Reminder.objects.get().mailed_to == "books@example.com"


def test_what_was_said_is_not_taken_back(owed: Invoice) -> None:
    reconcilers.remind_due(now=owed.due_at + timedelta(days=5))
    mailing.mail_reminders(actor=SYSTEM)
    with pytest.raises(DatabaseError), transaction.atomic():
        Reminder.objects.update(mailed_at=None)
    with pytest.raises(DatabaseError), transaction.atomic():
        Reminder.objects.all().delete()
    assert overdue_level(owed.due_at, owed.due_at) == 0
