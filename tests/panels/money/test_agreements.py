"""Statement, vouchers, price lists, fees and commitments in the Console and the Admin panel."""

import re
from datetime import UTC, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.billing.models import (
    Commitment,
    Fee,
    PriceList,
    PriceListChoice,
    ProviderCost,
    ProviderDay,
    Transaction,
    UsageDay,
    Voucher,
    Wallet,
)
from apps.billing.selectors import margin, proofs
from apps.billing.selectors.margin import Span
from apps.billing.services import charging, grants, history, top_up
from apps.billing.services.grants import NewVoucher
from apps.billing.specs import Rate
from apps.core.actor import SYSTEM
from apps.core.ids import new_id
from apps.teams.models import Team
from tests.factories.billing import after, begin, make_price, resource
from tests.factories.teams import TeamFactory, admin_of
from tests.panels.money.conftest import browser, console, text_of

pytestmark = pytest.mark.django_db
MOST_STATEMENTS = 15


@pytest.fixture
def team() -> Team:
    make_price("type:small", "2")
    made = TeamFactory()
    top_up(actor=SYSTEM, team=made, amount=Decimal(80), reason="Wire")
    return made


def test_a_statement_tells_a_month_and_is_a_file(team: Team) -> None:
    client = browser(admin_of(team))
    for page in ("billing", "billing/statement", "billing/terms", "billing/prices"):
        client.get(console(team, page))
        with CaptureQueriesContext(connection) as queries:
            text = text_of(client.get(console(team, page)))
        assert len(queries) <= MOST_STATEMENTS, page
    text = text_of(client.get(console(team, "billing/statement")))
    assert "At the beginning" in text
    assert text.count("€80.00") >= 3
    month = f"{timezone.now().astimezone(UTC):%Y-%m}"
    file = client.get(console(team, f"billing/statement.csv?month={month}"))
    rows = b"".join(file.streaming_content).decode().splitlines()
    assert rows[1].endswith("top_up,Wire,80,80")
    assert "€80.00" in text_of(client.get(console(team, "billing/statement?month=1999-01")))


def test_a_month_without_entries_says_what_stood_then() -> None:
    made, now = TeamFactory(), timezone.now().astimezone(UTC)
    month = (now.replace(day=1) - timedelta(days=40)).replace(day=15)
    history.fund(actor=SYSTEM, team=made, amount=Decimal(11), at=month - timedelta(days=60), reason="Old")
    top_up(actor=SYSTEM, team=made, amount=Decimal(80), reason="Wire")
    page = text_of(browser(admin_of(made)).get(console(made, f"billing/statement?month={month:%Y-%m}")))
    assert "Nothing in this month" in page
    assert "€91.00" not in page.partition("<main")[2]
    assert "€11.00" in page


def test_a_voucher_is_made_told_once_redeemed_and_shown(team: Team, staff: Client) -> None:
    asked = {"name": "Course", "currency": "EUR", "amount": "25", "count": "3", "uses": "1"}
    answer = staff.post("/admin/vouchers/new", asked)
    assert answer.headers["Cache-Control"] == "no-store"
    codes = sorted(set(re.findall(r"(?:[A-Z2-9]{5}-){3}[A-Z2-9]{5}", text_of(answer))))
    assert len(codes) == Voucher.objects.count() == 3
    client, form = browser(admin_of(team)), console(team, "billing/voucher")
    assert client.post(form, {"code": "nothing"}).status_code in (404, 422)
    assert client.post(form, {"code": codes[0].lower()}).status_code == 302
    assert client.post(form, {"code": codes[0]}).status_code in (404, 409, 422)
    assert Wallet.objects.get(team=team).balance == 105
    assert "Course" in text_of(client.get(console(team, "billing")))
    one = Voucher.objects.get(uses_left=0)
    page = text_of(staff.get(f"/admin/vouchers/{one.pk}"))
    assert team.name in page
    assert "Used up" in page
    assert codes[0] not in text_of(staff.get("/admin/vouchers"))
    assert client.get("/admin/vouchers").status_code == 404


def test_too_many_codes_are_refused() -> None:
    with pytest.raises(grants.Invalid):
        grants.create_vouchers(
            actor=SYSTEM, new=NewVoucher("x", "EUR", Decimal(1)), count=grants.MOST_CODES + 1
        )


def test_a_team_is_given_terms_and_sees_them(team: Team, staff: Client) -> None:
    list_ = {"slug": "research", "name": "Research", "description": "Institutes"}
    assert staff.post("/admin/price-lists/new", list_).status_code == 302
    made = PriceList.objects.get()
    here = f"/admin/teams/{team.pk}/terms"
    day = timezone.now().astimezone(UTC).date().replace(day=1)
    assert staff.post(f"{here}/list", {"book": "research"}).status_code == 302
    fee = {"name": "Support", "period": "month", "amount": "99", "included": "10", "starts_on": f"{day}"}
    assert staff.post(f"{here}/fee", fee).status_code == 302
    assert staff.post(f"{here}/fee", fee | {"ends_on": f"{day - timedelta(days=1)}"}).status_code == 422
    promise = {"name": "GPUs", "amount": "500", "products": "type:", "starts_on": f"{day}"}
    assert staff.post(f"{here}/commitment", promise).status_code == 302
    assert (Fee.objects.count(), Commitment.objects.count(), PriceListChoice.objects.count()) == (1, 1, 1)
    make_price("type:small", "1.5", book="research")
    for page in (here, "/admin/terms", "/admin/price-lists", f"/admin/price-lists/{made.pk}"):
        staff.get(page)
        with CaptureQueriesContext(connection) as queries:
            text_of(staff.get(page))
        assert len(queries) <= MOST_STATEMENTS, page
    assert "Support" in text_of(staff.get("/admin/terms"))
    client = browser(admin_of(team))
    page = text_of(client.get(console(team, "billing/terms")))
    assert "Support" in page
    assert "€500.00" in page
    assert client.get(here).status_code == 404
    for agreed, page in ((Fee, here), (Commitment, "/admin/terms")):
        ended = {"do": f"end:{agreed.objects.get().pk}", "confirmed": "1"}
        assert staff.post(page, ended).status_code in (200, 302)
        assert agreed.objects.get().ends_on is not None


def test_the_margin_is_what_providers_leave(team: Team, staff: Client) -> None:
    today = timezone.now().astimezone(UTC).date()
    UsageDay.objects.create(
        team=team, workspace_id=team.workspaces.first().pk, resource_id="ins_a", product="type:small",
        day=today, seconds=3600, unit_seconds=3600, amount=10,
    )  # fmt: skip
    bill = {
        "provider": "Colo", "reference": "7/3", "currency": "EUR", "amount": "40", "product": "type:small",
        "starts_on": f"{today - timedelta(days=3)}", "ends_on": f"{today}",
    }  # fmt: skip
    assert staff.post("/admin/costs/new", bill).status_code == 302
    assert staff.post("/admin/costs/new", bill).status_code == 302
    assert staff.post("/admin/costs/new", bill | {"amount": "41"}).status_code in (409, 422)
    assert ProviderCost.objects.count() == 1
    page = text_of(staff.get("/admin/margin"))
    for sum_ in ("€10.00", "€40.00", "−€30.00"):
        assert sum_ in page
    one_day = Span(today, today, "EUR")
    [row] = margin.by_product(SYSTEM, one_day)
    assert (row.revenue, row.cost) == (10, 10)
    assert margin.by_day(SYSTEM, one_day) == [(today, 10, 10)]
    assert all(found.is_ok for found in proofs.verify() if found.name in ("balanced", "zero", "guards"))
    assert "€40.00" in text_of(staff.get("/admin/costs"))
    assert browser(admin_of(team)).get("/admin/margin").status_code == 404


def test_the_margin_of_models_is_shown_and_written_to_a_file(team: Team, staff: Client) -> None:
    today = timezone.now().astimezone(UTC).date()
    spent = {"day": today, "replica_id": new_id("rep"), "product": "tokens:org/llama:output"}
    ProviderDay.objects.create(**spent, currency="EUR", tokens=500_000, amount=8)
    ProviderDay.objects.create(**spent, currency="USD", tokens=500_000, amount=3)
    for kind, amount in (("input", 2), ("output", 4)):
        UsageDay.objects.create(
            team=team, workspace_id=team.workspaces.first().pk, resource_id="end_a", day=today, seconds=0,
            unit_seconds=0, product=f"tokens:org/llama:{kind}", quantity=Decimal("0.5"), amount=amount,
        )  # fmt: skip
    page = text_of(staff.get("/admin/margin"))
    for told in ("org/llama", "1,000,000", "€6.00", "€8.00", "and $3.00", "−€2.00, -33%"):
        assert told in page
    file = staff.get("/admin/margin.csv")
    assert b"org/llama,1000000,6,8,-2,3 USD,EUR" in b"".join(file.streaming_content)
    assert browser(admin_of(team)).get("/admin/margin.csv").status_code == 404
    assert staff.get("/api/admin/v1/margin?by=model").json()["items"] == [
        {
            "key": "org/llama", "revenue": "6", "cost": "8", "margin": "-2", "share": "-0.3333",
            "tokens": 1_000_000, "elsewhere": {"USD": "3"},
        }
    ]  # fmt: skip


def test_staff_see_what_waits_and_where_an_entry_comes_from(team: Team, staff: Client) -> None:
    machine = resource()
    begin(team, machine, Rate("type:small"))
    charging.end(resource_id=machine, now=after(hours=2))
    staff.get("/admin/billing")
    with CaptureQueriesContext(connection) as queries:
        page = text_of(staff.get("/admin/billing"))
    assert len(queries) <= MOST_STATEMENTS
    assert "Nothing waits" in page
    charged = Transaction.objects.get(kind="usage")
    assert machine in text_of(staff.get(f"/admin/billing/ledger/{charged.pk}"))
    assert str(charged.pk) in text_of(staff.get("/admin/billing/ledger?account=revenue"))
    assert str(charged.pk) not in text_of(staff.get("/admin/billing/ledger?account=tax"))


def test_own_prices_stand_beside_the_standard_ones(team: Team) -> None:
    PriceList.objects.create(slug="mine", name="Mine")
    make_price("type:small", "1.5", book="mine")
    make_price("type:large", "9")
    PriceListChoice.objects.create(
        team=team, book="mine", valid_from=timezone.now() - timedelta(hours=1), created_by="x"
    )
    page = text_of(browser(admin_of(team)).get(console(team, "billing/prices")))
    assert "€1.50" in page
    assert "instead of €2.00" in page
    assert "€9.00" in page
    own = text_of(browser(admin_of(team)).get(console(team, "billing/prices?view=own")))
    assert "€9.00" not in own
    assert all(found.is_ok for found in proofs.verify() if found.name == "prices_chain")
