"""Money in the Console and the Admin panel."""

import csv
import html
import io
import re
from datetime import UTC, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.billing.models import Meter, PriceVersion, Wallet
from apps.billing.services import charging, history, top_up
from apps.billing.specs import Rate
from apps.core.actor import SYSTEM
from apps.core.permissions import Role
from apps.teams.models import Team
from apps.users.services import grant_staff_role
from tests.factories.billing import begin, make_price, resource
from tests.factories.teams import TeamFactory, admin_of, member_of
from tests.factories.users import UserFactory
from tests.panels.money.conftest import browser, console, text_of

pytestmark = pytest.mark.django_db
CONSOLE = ("usage", "billing", "billing/entries", "billing/prices")
ADMIN = ("usage", "prices", "billing", "billing/ledger", "billing/wallets")


@pytest.fixture
def team() -> Team:
    """A team that used two products yesterday and runs a machine now."""
    yesterday = timezone.now().astimezone(UTC).replace(hour=9, minute=0, second=0, microsecond=0)
    yesterday -= timedelta(days=1)
    make_price("type:small", "3.6")
    make_price("disk", "0.0001")
    made = TeamFactory()
    history.fund(actor=SYSTEM, team=made, amount=Decimal(500), at=yesterday, reason="Wire <1>")
    gone = resource()
    begin(made, gone, Rate("type:small"), Rate("disk", Decimal(100)), now=yesterday)
    charging.end(resource_id=gone, now=yesterday + timedelta(hours=1, seconds=1))
    begin(made, resource(), Rate("type:small"), now=timezone.now())
    return made


def test_usage_shows_chart_figures_and_sums(team: Team) -> None:
    client = browser(admin_of(team))
    page = text_of(client.get(console(team, "usage")))
    assert "1:00:01" in page
    assert 'id="spend"' in page
    assert "€3.6010" in page
    assert "machine" in text_of(client.get(console(team, "usage?by=resource&days=7")))
    assert "default" in text_of(client.get(console(team, "usage?by=workspace")))
    assert text_of(client.get(console(team, "usage?by=nonsense&days=1e9")))


def test_usage_comes_as_csv_exact_to_the_last_decimal(team: Team) -> None:
    answer = browser(admin_of(team)).get(console(team, "usage.csv"))
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert [(row["Product"], row["Seconds"], row["Cost"]) for row in rows] == [
        ("disk", "3601", "0.010002777778"),
        ("type:small", "3601", "3.601"),
    ]


def test_billing_shows_balance_runway_holds_and_statement(team: Team) -> None:
    client = browser(admin_of(team))
    page = text_of(client.get(console(team, "billing")))
    assert "€496.39" in page
    assert "€0.30 held for what runs" in page
    assert "Wire &lt;1&gt;" in page
    assert "Wire &lt;1&gt;" in text_of(client.get(console(team, "billing/entries")))
    assert "€2,628.00" in text_of(client.get(console(team, "billing/prices")))


def test_a_team_without_money_is_told_so(team: Team) -> None:
    poor = TeamFactory()
    assert "nothing can be launched" in text_of(browser(admin_of(poor)).get(console(poor, "billing")))
    begin(poor, resource(), Rate("type:small"), now=timezone.now())
    assert "no longer covers" in text_of(browser(admin_of(poor)).get(console(poor, "billing")))


def test_money_is_for_those_who_may_see_it(team: Team) -> None:
    member, stranger = browser(member_of(team)), browser(admin_of(TeamFactory()))
    assert member.get(console(team, "usage")).status_code == 200
    assert member.get(console(team, "billing")).status_code == 404
    for page in (*CONSOLE, "usage.csv"):
        assert stranger.get(console(team, page)).status_code == 404
    for page in ADMIN:
        assert stranger.get(f"/admin/{page}").status_code == 404


def test_pages_take_few_statements(team: Team, staff: Client) -> None:
    member = browser(admin_of(team))
    for client, address in (
        *((member, console(team, page)) for page in CONSOLE),
        *((staff, f"/admin/{page}") for page in ADMIN),
    ):
        client.get(address)
        with CaptureQueriesContext(connection) as asked:
            text_of(client.get(address))
        assert len(asked) <= 15, f"{address}: {len(asked)}"


def test_what_was_spent_in_one_currency_is_not_added_to_another(team: Team, staff: Client) -> None:
    make_price("type:small", "7.2", currency="USD")
    other, yesterday = TeamFactory(currency="USD"), timezone.now() - timedelta(days=1)
    history.fund(actor=SYSTEM, team=other, amount=Decimal(500), at=yesterday, reason="wire")
    machine = resource()
    begin(other, machine, Rate("type:small"), now=yesterday)
    charging.end(resource_id=machine, now=yesterday + timedelta(hours=1))
    euros, dollars = (
        text_of(staff.get(f"/admin/usage{query}")) for query in ("", "?currency=USD&by=product")
    )
    assert (team.name in euros, other.name in euros) == (True, False)
    assert "$7.2000" in dollars
    assert "3.60" not in dollars
    assert "currency=USD" in dollars
    table = b"".join(staff.get("/admin/usage.csv").streaming_content).decode()
    assert {row["Currency"] for row in csv.DictReader(io.StringIO(table))} == {"EUR", "USD"}


def test_staff_look_at_usage_ledger_and_wallets(team: Team, staff: Client) -> None:
    assert team.name in text_of(staff.get("/admin/usage"))
    ledger = text_of(staff.get("/admin/billing/ledger?view=money"))
    assert "Wire &lt;1&gt;" in ledger
    entry = ledger.split("/admin/billing/ledger/ltx_")[1][:26]
    page = text_of(staff.get(f"/admin/billing/ledger/ltx_{entry}"))
    assert "Received payments" in page
    assert "−€500.00" in page
    assert team.name in text_of(staff.get(f"/admin/billing/wallets?q={team.name}"))
    assert "Revenue" in text_of(staff.get("/admin/billing"))


def test_staff_book_a_payment_once_and_set_a_limit(team: Team, staff: Client) -> None:
    where = f"/admin/teams/{team.pk}"
    wish = {"kind": "payment", "amount": "12.50", "reason": "bank", "reference": "B-1"}
    before = Wallet.objects.get(team=team).balance
    for _twice in range(2):
        assert staff.post(f"{where}/credit", wish).status_code == 302
    assert Wallet.objects.get(team=team).balance == before + Decimal("12.5")
    refused = staff.post(f"{where}/credit", wish | {"amount": "13"})
    assert refused.status_code == 422
    assert "used for another amount" in refused.content.decode()
    assert staff.post(f"{where}/limit", {"amount": "30"}).status_code == 302
    assert Wallet.objects.get(team=team).credit_limit == 30
    operator = UserFactory()
    grant_staff_role(actor=SYSTEM, user=operator, role=Role.OPERATOR)
    assert browser(operator).post(f"{where}/credit", wish).status_code == 404


def test_staff_schedule_and_withdraw_a_price(team: Team, staff: Client) -> None:
    form = text_of(staff.get("/admin/prices/new?product=type:small&currency=EUR"))
    assert "1 running resource pays the new price" in form
    assert 'value="research"' in text_of(staff.get("/admin/prices/new?book=research"))
    later = timezone.now() + timedelta(days=3)
    wish = {
        "product": "type:small",
        "currency": "EUR",
        "unit_price": "4",
        "valid_from": f"{later:%Y-%m-%dT%H:%M}",
    }
    seen = staff.post("/admin/prices/new", wish | {"preview": "1"})
    assert seen.status_code == 200
    assert team.name in text_of(seen)
    assert staff.post("/admin/prices/new", wish | {"preview": "1", "product": "gold"}).status_code == 422
    assert not PriceVersion.objects.filter(unit_price=4).exists()
    assert staff.post("/admin/prices/new", wish).status_code == 302
    assert staff.post("/admin/prices/new", wish).status_code == 422
    made = PriceVersion.objects.get(unit_price=4)
    assert "Scheduled" in text_of(staff.get(f"/admin/prices/{made.pk}"))
    assert "small" in text_of(staff.get("/admin/prices?view=scheduled"))
    assert staff.post(f"/admin/prices/{made.pk}", {"do": f"withdraw:{made.pk}"}).status_code == 422
    done = staff.post(f"/admin/prices/{made.pk}", {"do": f"withdraw:{made.pk}", "confirmed": "1"})
    assert done.status_code == 302
    assert PriceVersion.objects.filter(product="type:small").count() == 1
    bad = staff.post("/admin/prices/new", wish | {"product": "gold bars"})
    assert "A product is" in bad.content.decode()


def test_a_parked_meter_is_tried_again_from_the_accounts_page(team: Team, staff: Client) -> None:
    top_up(actor=SYSTEM, team=team, amount=Decimal(5), reason="x")
    parked = resource()
    begin(team, parked, Rate("ip"), now=timezone.now() - timedelta(hours=1))
    page = text_of(staff.get("/admin/billing"))
    assert "ip has no price" in page
    assert f'value="resume:{parked}"' in page
    assert staff.post("/admin/billing", {"do": f"resume:{parked}"}).status_code == 302
    assert Meter.objects.get(pk=parked).parked_because
    [way_out] = re.findall(r'href="(/admin/prices/new\?product=[^"]+)"', page)
    form = staff.get(html.unescape(way_out)).context["form"]
    asked = {name: field.value() or "" for name, field in ((one.name, one) for one in form)}
    asked = {**asked, "unit_price": "0.01", "valid_from": f"{asked['valid_from']:%Y-%m-%dT%H:%M}"}
    assert staff.post("/admin/prices/new", asked).status_code == 302
    assert staff.post("/admin/billing", {"do": f"resume:{parked}"}).status_code == 302
    resumed = Meter.objects.get(pk=parked)
    assert (resumed.parked_because, resumed.rates) == ("", [["ip", "1"]])
