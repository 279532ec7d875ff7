"""Terms, providers' bills, margin, reminders and explanations through the APIs."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from apps.billing.services import charging, top_up
from apps.billing.specs import Rate
from apps.core.actor import SYSTEM
from apps.core.clock import db_now
from apps.core.permissions import Role
from apps.drivers.payments import BalanceLine
from apps.invoicing import reconcilers
from apps.invoicing.models import Invoice
from apps.payments.selectors import rows
from apps.payments.services import comparing
from apps.teams.models import Team
from tests.api.world import Caller, staff_caller, team_caller
from tests.factories.billing import after, begin, make_price, resource
from tests.factories.invoicing import close, invoice_of, make_entity, make_tax
from tests.factories.teams import TeamFactory
from tests.factories.users import UserFactory

pytestmark = pytest.mark.django_db
ADMIN, USER = "/api/admin/v1", "/api/user/v1"


def of_staff() -> Caller:
    return staff_caller(UserFactory(staff=Role.FULL_ADMINISTRATOR))


@pytest.fixture
def team() -> Team:
    make_price("type:small", "2")
    return TeamFactory()


def test_a_team_reads_its_own_terms_and_prices(team: Team) -> None:
    staff, call = of_staff(), team_caller(team)
    staff.post(f"{ADMIN}/price-lists", {"slug": "mine", "name": "Mine"})
    make_price("type:small", "1.5", book="mine")
    assert [one["unit_price"] for one in call.get(f"{USER}/prices").json()["items"]] == ["2"]
    fee = {"name": "Support", "period": "month", "amount": "9", "starts_on": "2026-01-01"}
    assert staff.post(f"{ADMIN}/terms/{team.pk}/fees", fee).status_code == 201
    told = call.get(f"{USER}/terms").json()
    assert (told["book"], told["fees"][0]["amount"]) == ("standard", "9")


def test_what_was_agreed_ends_when_staff_ends_it(team: Team) -> None:
    staff, here = of_staff(), f"{ADMIN}/terms/{team.pk}"
    fee = {"name": "Support", "period": "month", "amount": "9", "starts_on": "2026-01-01"}
    promise = {"name": "GPUs", "amount": "50", "starts_on": "2026-01-01"}
    staff.post(f"{here}/fees", fee)
    told = staff.post(f"{here}/commitments", promise).json()
    for one in (told["fees"][0], told["commitments"][0]):
        ended = {"agreed": one["id"], "on": "2026-02-14"}
        assert staff.post(f"{here}/end", ended).status_code == 200
        other = f"{ADMIN}/terms/{TeamFactory().pk}/end"
        assert staff.post(other, ended).status_code == 404
    told = staff.post(f"{here}/end", ended | {"on": "2026-03-01"}).json()
    assert [one["ends_on"] for one in (told["fees"][0], told["commitments"][0])] == ["2026-02-14"] * 2
    for wrong in ("", "com_x", team.pk, None):
        assert staff.post(f"{here}/end", {"agreed": wrong}).status_code in (404, 422)


def test_a_providers_bill_is_booked_once_and_counts_by_its_days(team: Team) -> None:
    staff = of_staff()
    today = db_now().date()
    bill = {
        "provider": "Colo", "reference": "7/3", "currency": "EUR", "amount": "40", "product": "type:small",
        "starts_on": f"{today - timedelta(days=3)}", "ends_on": f"{today}",
    }  # fmt: skip
    made = staff.post(f"{ADMIN}/provider-costs", bill)
    assert made.status_code == 201
    assert staff.post(f"{ADMIN}/provider-costs", bill).json()["id"] == made.json()["id"]
    assert staff.post(f"{ADMIN}/provider-costs", bill | {"amount": "1"}).status_code in (409, 422)
    assert staff.post(f"{ADMIN}/provider-costs", bill | {"reference": "8", "amount": "0"}).status_code == 422
    [row] = staff.get(f"{ADMIN}/margin?days=2").json()["items"]
    assert (row["key"], row["revenue"], row["cost"], row["share"]) == ("type:small", "0", "20", None)
    assert staff.get(f"{ADMIN}/margin?by=colour").status_code == 422
    entry = staff.get(f"{ADMIN}/ledger/{made.json()['transaction_id']}").json()
    assert sorted(one["amount"] for one in entry["postings"]) == ["-40", "40"]


def test_reminders_are_read_and_runs_resumed(team: Team) -> None:
    make_entity()
    make_tax("DE", "0.19")
    top_up(actor=SYSTEM, team=team, amount=Decimal(20), reason="Wire")
    machine = resource()
    begin(team, machine, Rate("type:small"))
    charging.end(resource_id=machine, now=after(hours=10))
    run = close()
    invoice: Invoice = invoice_of(team)
    assert invoice.due_at is not None
    reconcilers.remind_due(now=invoice.due_at + timedelta(days=4))
    for call, base in ((team_caller(team), USER), (of_staff(), ADMIN)):
        [said] = call.get(f"{base}/invoices/{invoice.pk}/reminders").json()["items"]
        assert (said["level"], said["amount_due"]) == (1, "3.8")
    stranger = team_caller(TeamFactory())
    assert stranger.get(f"{USER}/invoices/{invoice.pk}/reminders").status_code == 404
    assert of_staff().post(f"{ADMIN}/invoice-runs/{run.pk}/resume", {}).status_code == 202


def test_a_difference_is_explained_once() -> None:
    now = db_now()
    line = BalanceLine("txn_1", "payment", "pi_1", 500, 0, "EUR", now)
    found = comparing.reconcile(
        actor=SYSTEM, provider="stripe", since=now - timedelta(days=1), until=now, lines=[line]
    )
    staff, said = of_staff(), {"kind": "payment", "about": "pi_1", "note": "Of the other shop"}
    path = f"{ADMIN}/reconciliations/{found.pk}/explanations"
    assert staff.post(path, said | {"about": "pi_2"}).status_code == 404
    assert staff.post(path, said | {"note": " "}).status_code == 422
    assert staff.post(path, said).json()["about"] == "pi_1"
    assert staff.post(path, said).status_code == 409
    assert rows.unexplained(found) == []
    grown = replace(line, amount=900)
    again = comparing.reconcile(
        actor=SYSTEM, provider="stripe", since=now - timedelta(days=1), until=now, lines=[grown]
    )
    assert [one["provider"] for one in rows.unexplained(again)] == ["9 EUR"]
    assert staff.post(path, said).json()["provider_says"] == "9 EUR"
