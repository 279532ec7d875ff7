"""Invoices and payments in the Console, the Admin panel and the APIs."""

import base64
import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.billing.services import charging, top_up
from apps.billing.specs import Rate
from apps.core.actor import SYSTEM
from apps.core.permissions import Role
from apps.invoicing.models import Invoice, InvoiceRun, LegalEntity, TaxRate
from apps.invoicing.specs import canonical
from apps.payments import reconcilers
from apps.payments.models import Payment, PaymentMethod, Reconciliation, Refund
from apps.teams.models import Team
from tests.api.world import staff_caller, team_caller
from tests.factories.billing import after, begin, make_price, resource, wallet_of
from tests.factories.invoicing import CLOSED, MARCH, close, invoice_of, make_entity, make_profile, make_tax
from tests.factories.teams import TeamFactory, admin_of
from tests.factories.users import UserFactory
from tests.panels.money.conftest import browser, console, text_of

pytestmark = pytest.mark.django_db
MOST_QUERIES = 15


@pytest.fixture
def team() -> Team:
    """A team that is owed by an invoice of March: its balance covered part of it."""
    make_entity(bank_details="IBAN DE02 1203 0000 0000 2020 51")
    make_tax("DE", "0.19")
    make_price("type:small", "1.2345")
    made = TeamFactory()
    top_up(actor=SYSTEM, team=made, amount=Decimal(13), reason="Wire")
    make_profile(made, name="Kestrel <Ltd>")
    machine = resource()
    begin(made, machine, Rate("type:small"))
    charging.end(resource_id=machine, now=after(hours=10))
    close()
    return made


@pytest.fixture
def member(team: Team) -> Client:
    return browser(admin_of(team))


def test_a_team_sees_its_invoice_to_the_last_fact(team: Team, member: Client) -> None:
    invoice = invoice_of(team)
    assert "HAI-000001" in text_of(member.get(console(team, "invoices")))
    page = text_of(member.get(console(team, f"invoices/{invoice.pk}")))
    assert "€14.68" in page
    assert "Kestrel &lt;Ltd&gt;" in page
    assert "ins_" in text_of(member.get(console(team, f"invoices/{invoice.pk}/usage?line=1")))
    assert member.get(console(team, f"invoices/{invoice.pk}/usage?line=x")).status_code == 404
    for kind, start in (("pdf", b"%PDF"), ("csv", b"invoice,"), ("json", b"{"), ("focus", b"BilledCost")):
        answer = member.get(console(team, f"invoices/{invoice.pk}/{kind}"))
        assert answer.content.startswith(start)
        assert "HAI-000001" in answer.headers["Content-Disposition"]
    other = browser(admin_of(TeamFactory()))
    assert other.get(console(team, f"invoices/{invoice.pk}")).status_code == 404


def test_a_team_pays_an_invoice(team: Team, member: Client, settings: Any) -> None:
    settings.FAKE_PAYMENTS = True
    invoice = invoice_of(team)
    form = console(team, f"invoices/{invoice.pk}/pay")
    assert "Bank transfer" in text_of(member.get(form))
    answer = member.post(form, {"way": "fake:"})
    payment = Payment.objects.get()
    assert answer.headers["Location"] == console(team, f"payments/{payment.pk}")
    assert "being prepared" in text_of(member.get(answer.headers["Location"]))
    assert member.post(form, {"way": "fake:"}).status_code == 422
    reconcilers.reconcile_payment(payment_id=payment.pk)
    invoice.refresh_from_db()
    assert invoice.state == "paid"
    assert member.post(form, {"way": "bank:"}).status_code == 422


def test_a_team_tops_up_by_transfer_and_staff_records_it(team: Team, member: Client, staff: Client) -> None:
    before = wallet_of(team).balance
    answer = member.post(console(team, "billing/top-up"), {"amount": "40", "way": "bank:"})
    payment = Payment.objects.get()
    page = text_of(member.get(answer.headers["Location"]))
    assert payment.reference in page
    assert "IBAN" in page
    assert payment.reference in text_of(staff.get("/admin/payments?view=transfers"))
    said = {"do": f"received:{payment.pk}", "confirmed": "1"}
    assert staff.post(f"/admin/payments/{payment.pk}", said).status_code == 302
    assert wallet_of(team).balance == before + 40
    assert member.post(console(team, "billing/top-up"), {"amount": "0", "way": "bank:"}).status_code == 422
    assert member.post(console(team, "billing/top-up"), {"amount": "9", "way": "stripe:"}).status_code == 422


def test_cards_and_the_automatic_top_up(team: Team, member: Client, settings: Any) -> None:
    assert "not set up" in text_of(member.get(console(team, "billing/cards/new")))
    settings.FAKE_PAYMENTS = True
    member.post(console(team, "billing/cards/new"), {})
    reconcilers.reconcile_due()
    card = PaymentMethod.objects.get()
    assert "4242" in text_of(member.get(console(team, "billing/cards")))
    wish = {"is_enabled": "on", "threshold": "10", "amount": "25", "monthly_most": "100"}
    assert member.post(console(team, "billing/automatic"), wish).status_code == 302
    assert member.post(console(team, "billing/automatic"), {**wish, "monthly_most": "1"}).status_code == 422
    assert reconcilers.top_up_low() == 1
    said = {"do": f"remove:{card.pk}", "confirmed": "1"}
    assert member.post(console(team, "billing/cards"), said).status_code == 302
    assert not PaymentMethod.objects.filter(removed_at=None).exists()


def test_whom_invoices_are_made_out_to(team: Team, member: Client) -> None:
    wish = {"name": "Kestrel GmbH", "country": "at", "tax_id": "ATU1"}
    assert member.post(console(team, "billing/profile"), wish).status_code == 302
    assert "Kestrel GmbH" in text_of(member.get(console(team, "billing/profile")))
    assert member.post(console(team, "billing/profile"), {**wish, "country": "A1"}).status_code == 422


def test_staff_corrects_an_invoice_and_the_team_gets_the_note(
    team: Team, member: Client, staff: Client
) -> None:
    invoice = invoice_of(team)
    wish = {"line_1": "2.00", "reason": "outage"}
    assert staff.post(f"/admin/invoices/{invoice.pk}/credit", {**wish, "line_1": "99"}).status_code == 422
    assert staff.post(f"/admin/invoices/{invoice.pk}/credit", wish).status_code == 302
    assert "HAI-C-000001" in text_of(staff.get(f"/admin/invoices/{invoice.pk}"))
    assert "HAI-C-000001" in text_of(member.get(console(team, f"invoices/{invoice.pk}")))
    file = f"credit-notes/{invoice.credit_notes.get().pk}/pdf"
    for answer in (staff.get(f"/admin/{file}"), member.get(console(team, file))):
        assert answer.content.startswith(b"%PDF")
    other = TeamFactory()
    assert browser(admin_of(other)).get(console(other, file)).status_code == 404
    assert staff.post(f"/admin/invoices/{invoice.pk}/void", {"reason": "wrong"}).status_code in (302, 422)


def test_staff_begins_a_month(team: Team, staff: Client) -> None:
    assert staff.post("/admin/invoice-runs/new", {"month": "2026-03"}).status_code == 422
    assert staff.post("/admin/invoice-runs/new", {"month": "2999-01"}).status_code == 422
    assert staff.post("/admin/invoice-runs/new", {"month": "2026-04"}).status_code == 302
    run = InvoiceRun.objects.get(period_start=MARCH.start)
    page = text_of(staff.get(f"/admin/invoice-runs/{run.pk}"))
    assert "HAI-000001" in page
    assert f"€{invoice_of(team).total:.2f}" in page
    focus = staff.get(f"/admin/invoice-runs/{run.pk}/focus").content.decode()
    assert sum(Decimal(row.split(",")[0]) for row in focus.splitlines()[1:]) == invoice_of(team).total


def test_staff_sets_up_companies_and_tax(staff: Client) -> None:
    company = {
        "name": "Two Ltd",
        "country": "GB",
        "currency": "GBP",
        "number_prefix": "TWO",
        "payment_days": 7,
    }
    assert staff.post("/admin/legal-entities/new", company).status_code == 302
    made = LegalEntity.objects.get()
    assert staff.post(f"/admin/legal-entities/{made.pk}", {**company, "city": "Leeds"}).status_code == 302
    assert (
        staff.post(f"/admin/legal-entities/{made.pk}", {**company, "number_prefix": "X"}).status_code == 422
    )
    rate = {"country": "gb", "name": "VAT", "percent": "20", "valid_from": "2026-01-01"}
    assert staff.post("/admin/tax-rates/new", rate).status_code == 302
    assert staff.post("/admin/tax-rates/new", rate).status_code == 422
    assert TaxRate.objects.get().rate == Decimal("0.2")


def test_a_large_refund_takes_two_people(team: Team, staff: Client) -> None:
    payment = received(team, "900")
    form = f"/admin/payments/{payment.pk}/refund"
    assert staff.post(form, {"amount": "901", "reason": "x"}).status_code == 422
    assert staff.post(form, {"amount": "600", "reason": "closing"}).status_code == 302
    refund = Refund.objects.get()
    said = {"do": f"approve:{refund.pk}", "confirmed": "1"}
    page = text_of(staff.post("/admin/refunds", said, follow=True))
    assert "Somebody else has to approve" in page
    assert browser(UserFactory(staff=Role.FULL_ADMINISTRATOR)).post("/admin/refunds", said).status_code == 302
    refund.refresh_from_db()
    assert refund.state == "succeeded"
    # No way around it: what goes back of one payment counts together.
    assert "€300.00" in text_of(staff.get(form))
    assert staff.post(form, {"amount": "1", "reason": "closing"}).status_code == 302
    assert Refund.objects.order_by("-created_at").first().state == "requested"
    assert "€299.00" in text_of(staff.get(form))


def received(team: Team, amount: str) -> Payment:
    caller = team_caller(team)
    asked = caller.post("/api/user/v1/payments", {"provider": "bank", "amount": amount})
    staff = staff_caller(UserFactory(staff=Role.FULL_ADMINISTRATOR))
    assert staff.post(f"/api/admin/v1/payments/{asked.json()['id']}/received", {}).status_code == 200
    return Payment.objects.get(pk=asked.json()["id"])


# ------------------------------------------------------------ the APIs


def test_the_user_api_tells_the_same(team: Team) -> None:
    call = team_caller(team)
    [item] = call.get("/api/user/v1/invoices").json()["items"]
    where = f"/api/user/v1/invoices/{item['id']}"
    assert (item["number"], item["total"], item["state"]) == ("HAI-000001", "14.68", "open")
    lines = call.get(f"{where}/lines").json()["items"]
    assert [line["kind"] for line in lines] == ["usage", "tax"]
    usage = call.get(f"{where}/usage?line=1").json()["items"]
    assert sum(Decimal(row["amount"]) for row in usage) == Decimal(lines[0]["exact"])
    facts = call.get(f"{where}/evidence?line=1").json()["items"]
    assert all(one["facts"][0].startswith("use_") for one in facts)
    assert call.get(f"{where}/workspaces").json()["items"][0]["amount"] == "12.34"
    content = json.loads(base64.b64decode(call.get(f"{where}/json").json()["content"]))
    assert content["hash"]["this"] == item["content_hash"]
    assert canonical(content)
    paid = call.post(f"{where}/pay", {"provider": "bank"})
    assert (paid.status_code, paid.json()["amount"]) == (202, item["amount_due"])
    assert call.get("/api/user/v1/payments/ways").json()["items"][0]["is_open"] is False
    assert team_caller(TeamFactory()).get(where).status_code == 404
    assert call.get(f"{where}/usage?line=one").status_code == 422
    profile = call("PUT", "/api/user/v1/billing-profile", {"name": "K", "country": "FR"}).json()
    assert profile["country"] == "FR"
    auto = {"is_enabled": True, "threshold": "1", "amount": "5", "monthly_most": "9"}
    assert call("PUT", "/api/user/v1/auto-top-up", auto).json()["code"] == "no_payment_method"


def test_the_admin_api_corrects_and_runs(team: Team) -> None:
    call = staff_caller(UserFactory(staff=Role.FULL_ADMINISTRATOR))
    [item] = call.get("/api/admin/v1/invoices").json()["items"]
    where = f"/api/admin/v1/invoices/{item['id']}"
    note = {"lines": [{"position": 1, "amount": "1.00"}], "reason": "outage", "reference": "T-1"}
    made = call.post(f"{where}/credit-notes", note)
    assert (made.status_code, made.json()["total"]) == (201, "1.19")
    assert call.post(f"{where}/credit-notes", note).json()["id"] == made.json()["id"]
    assert call.post(f"{where}/credit-notes", {**note, "lines": note["lines"] * 2}).status_code == 422
    assert call.post(f"{where}/void", {"reason": "wrong"}).status_code == 201
    assert call.post(f"{where}/give-up", {}).status_code == 409
    [run] = call.get("/api/admin/v1/invoice-runs").json()["items"]
    assert (run["invoices"], run["drafts"]) == (1, 0)
    assert call.post("/api/admin/v1/invoice-runs", {"month": "2026-13"}).status_code == 422
    assert call.get(f"/api/admin/v1/invoice-runs/{run['id']}/focus").json()["media_type"] == "text/csv"


# ------------------------------------------------------------ budgets


CONSOLE = (
    "invoices", "payments", "billing/cards", "billing/cards/new", "billing/top-up", "billing/automatic",
    "billing/profile", "billing/month",
)  # fmt: skip
ADMIN = (
    "invoices", "invoice-runs", "invoice-runs/new", "credit-notes", "legal-entities", "legal-entities/new",
    "tax-rates", "tax-rates/new", "payments", "refunds", "disputes", "payment-messages", "reconciliations",
)  # fmt: skip


def test_pages_stay_within_their_budget(team: Team, member: Client, staff: Client) -> None:
    payment = received(team, "30")
    Reconciliation.objects.create(
        provider="stripe", since=CLOSED - timedelta(days=3), until=CLOSED, checked=1, booked=0,
        differences=[{"kind": "payment", "source": "pi_1", "provider": "1 EUR", "ledger": "", "line": "t"}],
    )  # fmt: skip
    invoice = Invoice.objects.get()
    objects = [f"invoices/{invoice.pk}", f"payments/{payment.pk}"]
    run = InvoiceRun.objects.first()
    rows = [f"invoice-runs/{run.pk}", f"reconciliations/{Reconciliation.objects.get().pk}"]
    pages = [(member, console(team, page)) for page in (*CONSOLE, *objects)]
    pages += [(staff, f"/admin/{page}") for page in (*ADMIN, *objects, *rows)]
    over = {}
    for client, page in pages:
        client.get(page)
        with CaptureQueriesContext(
            connection,
        ) as asked:
            response = client.get(page)
        assert response.status_code == 200, page
        assert len(response.content) < 120_000, page
        points = ("SAVEPOINT", "RELEASE")
        told = [one for one in asked.captured_queries if not str(one["sql"]).startswith(points)]
        over |= {page: len(told)} if len(told) > MOST_QUERIES else {}
    assert not over
