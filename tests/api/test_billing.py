"""Money through the User and the Admin API."""

from datetime import timedelta
from decimal import Decimal

import pytest

from apps.billing import reconcilers
from apps.billing.models import TokenRequest
from apps.billing.services import top_up
from apps.billing.specs import Rate
from apps.core.actor import SYSTEM
from apps.core.clock import db_now
from apps.core.ids import new_id, new_uuid
from apps.core.permissions import Role
from tests.api.world import Caller, staff_caller, team_caller
from tests.factories.billing import START, after, begin, make_price, resource
from tests.factories.teams import TeamFactory
from tests.factories.users import UserFactory

pytestmark = pytest.mark.django_db
USER, ADMIN = "/api/user/v1", "/api/admin/v1"


@pytest.fixture
def team():
    """A team with 20 euros that runs one machine for ninety minutes."""
    make_price("type:small", "3.6")
    make_price("disk", "0.0001")
    made = TeamFactory()
    top_up(actor=SYSTEM, team=made, amount=Decimal(20), reason="wire")
    begin(made, resource(), Rate("type:small"))
    reconcilers.cut_due(now=after(minutes=90))
    return made


@pytest.fixture
def staff() -> Caller:
    return staff_caller(UserFactory(staff=Role.FULL_ADMINISTRATOR))


def test_the_wallet_says_what_is_left_and_how_long_it_lasts(team):
    answer = team_caller(team).get(f"{USER}/wallet")
    assert answer.status_code == 200
    assert answer.json() == {
        "currency": "EUR",
        "balance": "14.6",
        "held": "0.3",
        "credit_limit": "0",
        "available": "14.3",
        "burn_per_hour": "3.6",
        "runway_hours": "4.06",
    }
    assert team_caller(team, "usage:read").get(f"{USER}/wallet").status_code == 403
    assert team_caller(TeamFactory()).get(f"{USER}/wallet").json()["balance"] == "0"


def test_usage_is_listed_added_up_and_filtered(team):
    call = team_caller(team)
    [row] = call.get(f"{USER}/usage").json()["items"]
    assert (row["day"], row["product"], row["seconds"], row["amount"]) == (
        "2026-03-01",
        "type:small",
        "5400",
        "5.4",
    )
    assert call.get(f"{USER}/usage?since=2026-03-02").json()["items"] == []
    [total] = call.get(f"{USER}/usage/by/product?until=2026-03-01").json()["items"]
    assert total == {
        "key": "type:small", "name": "type:small", "seconds": "5400", "unit_seconds": "5400", "tokens": 0,
        "amount": "5.4", "currency": "EUR",
    }  # fmt: skip
    assert call.get(f"{USER}/usage/by/colour").status_code == 404
    assert call.get(f"{USER}/usage?since=yesterday").status_code == 422
    assert team_caller(TeamFactory()).get(f"{USER}/usage").json()["items"] == []


def test_the_statement_adds_up_to_the_balance(team):
    call = team_caller(team)
    items = call.get(f"{USER}/statement").json()["items"]
    assert sorted((item["kind"], item["amount"]) for item in items) == [("top_up", "20"), ("usage", "-5.4")]
    first = items[0]["id"]
    assert call.get(f"{USER}/statement/{first}").json() == items[0]
    assert team_caller(TeamFactory()).get(f"{USER}/statement/{first}").status_code == 404
    assert len(call.get(f"{USER}/statement?kind=usage").json()["items"]) == 1


def test_a_quote_prices_what_does_not_exist_yet(team):
    call = team_caller(team)
    rates = [{"product": "type:small", "quantity": "2"}, {"product": "disk", "quantity": "100"}]
    quote = call.post(f"{USER}/quotes", {"rates": rates}).json()
    assert (quote["hourly"], quote["daily"], quote["monthly"]) == ("7.21", "173.04", "5263.3")
    assert quote["runway_hours"] == "1.35"
    assert [line["unit_price"] for line in quote["lines"]] == ["0.0001", "3.6"]
    for body, code in (
        ({"rates": [{"product": "gold"}]}, "no_price"),
        ({"rates": []}, "invalid"),
        ({"rates": [{"product": "disk", "quantity": "-1"}]}, "invalid"),
        ({"rates": [{"product": "disk", "quantity": 1}]}, "invalid"),
        ({}, "invalid"),
    ):
        refusal = call.post(f"{USER}/quotes", body)
        assert (refusal.status_code, refusal.json()["code"]) == (422, code)


def test_prices_are_listed_for_the_team_and_scheduled_by_staff(team, staff):
    assert {
        p["product"]: p["unit_price"] for p in team_caller(team).get(f"{USER}/prices").json()["items"]
    } == {
        "type:small": "3.6",
        "disk": "0.0001",
    }
    later = (db_now() + timedelta(days=2)).isoformat()
    wish = {"product": "disk", "currency": "EUR", "unit_price": "0.0002", "valid_from": later}
    made = staff.post(f"{ADMIN}/prices", wish)
    assert made.status_code == 201
    assert staff.post(f"{ADMIN}/prices", wish).status_code == 409
    assert [p["id"] for p in staff.get(f"{ADMIN}/prices?state=scheduled").json()["items"]] == [
        made.json()["id"]
    ]
    assert staff.delete(f"{ADMIN}/prices/{made.json()['id']}").status_code == 204
    assert staff.get(f"{ADMIN}/prices/{made.json()['id']}").status_code == 404
    [current] = staff.get(f"{ADMIN}/prices?product=disk&state=in_force").json()["items"]
    assert current["valid_until"] is None
    assert staff.delete(f"{ADMIN}/prices/{current['id']}").status_code == 409
    assert staff.post(f"{ADMIN}/prices", wish | {"unit_price": "-1"}).status_code == 422


def test_staff_book_payments_once_and_see_the_whole_ledger(team, staff):
    where = f"{ADMIN}/wallets/{team.pk}"
    for _twice in range(2):
        booked = staff.post(f"{where}/top-ups", {"amount": "5", "reason": "wire", "reference": "W-7"})
        assert (booked.status_code, booked.json()["balance"]) == (201, "19.6")
    assert (
        staff.post(f"{where}/top-ups", {"amount": "6", "reason": "x", "reference": "W-7"}).status_code == 409
    )
    assert staff.post(f"{where}/grants", {"amount": "1", "reason": "sorry"}).json()["balance"] == "20.6"
    assert staff.post(f"{where}/credit-limit", {"amount": "50"}).json()["available"] == "70.3"
    assert staff.post(f"{where}/top-ups", {"amount": "0.001", "reason": "x"}).status_code == 422
    listed = staff.get(f"{ADMIN}/ledger?kind=usage").json()["items"]
    assert sorted(posting["amount"] for posting in listed[0]["postings"]) == ["-5.4", "5.4"]
    totals = staff.get(f"{ADMIN}/ledger/accounts").json()["items"]
    assert sum(Decimal(row["balance"]) for row in totals) == 0
    [row] = staff.get(f"{ADMIN}/usage?team={team.pk}").json()["items"]
    assert row["team_id"] == team.pk
    assert staff.get(f"{ADMIN}/usage?team=team_nobody").json()["items"] == []


def test_a_parked_meter_is_resumed_by_staff(staff):
    make_price("type:small", "1")
    made = TeamFactory()
    machine = resource()
    begin(made, machine, Rate("ip"), now=START)
    [meter] = staff.get(f"{ADMIN}/meters?state=parked").json()["items"]
    assert meter["id"] == machine
    assert staff.post(f"{ADMIN}/meters/{machine}/resume").json()["code"] == "no_price"
    make_price("ip", "0.001")
    assert staff.post(f"{ADMIN}/meters/{machine}/resume").json()["parked_because"] == ""
    assert staff.post(f"{ADMIN}/meters/ins_none/resume").status_code == 404


def test_budgets_are_set_seen_changed_and_removed(team) -> None:
    call = team_caller(team)
    wish = {"name": "All", "level": "team", "period": "month", "amount": "10", "action": "block"}
    made = call.post(f"{USER}/budgets", wish)
    assert (made.status_code, made.json()["amount"], made.json()["subject"]) == (201, "10", team.pk)
    path = f"{USER}/budgets/{made.json()['id']}"
    assert call.get(path).json()["spent"] == made.json()["spent"]
    assert call.patch(path, {"amount": "12.5", "action": "stop"}).json()["amount"] == "12.5"
    assert [one["name"] for one in call.get(f"{USER}/budgets").json()["items"]] == ["All"]
    assert call.get(f"{path}/alerts").json()["items"] == []
    nobody = {"level": "key", "subject": "key_nonsense"}
    wrong = ({"amount": "0"}, {"amount": 10}, {"level": "planet"}, nobody, {"level": "workspace"})
    for bad in wrong:
        assert call.post(f"{USER}/budgets", {**wish, **bad}).status_code == 422, bad
    assert call.delete(path).status_code == 204
    assert call.get(path).status_code == 404


def one_by_one(call: Caller, count: int) -> None:
    """The same requests as a list, page by page."""
    found, cursor = [], ""
    while True:
        page = call.get(f"{USER}/token-requests?limit=1{cursor}").json()
        found += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert len({one["id"] for one in found}) == len(found) == count
    assert [one["finished_at"] for one in found] == sorted(
        (one["finished_at"] for one in found), reverse=True
    )
    first = found[0]
    assert first["id"].startswith("rcp_")
    narrow = call.get(f"{USER}/token-requests?model={first['model']}&since={first['finished_at']}").json()
    assert first in narrow["items"]
    assert call.get(f"{USER}/token-requests?until={found[-1]['finished_at']}").json()["items"] == []
    for wrong in ("cursor=nonsense", "limit=0", "colour=red", "since=yesterday"):
        assert call.get(f"{USER}/token-requests?{wrong}").status_code == 422, wrong


def test_tokens_are_added_up_by_model_key_workspace_and_day(team):
    call, now = team_caller(team), db_now()
    for slug, tokens in (("small", 5), ("large", 7), ("large", 9)):
        TokenRequest.objects.create(
            request_id=new_uuid(), team_id=team.pk, workspace_id=team.workspaces.get().pk, slug=slug,
            outcome="stop", stream=False, input=tokens, cached=0, output=1, embedding=0,
            input_amount=Decimal(tokens), cached_amount=0, output_amount=0, embedding_amount=0,
            currency="EUR", version_ids=[], transaction_id=new_id("ltx"), started_at=now, finished_at=now,
        )  # fmt: skip
    large, small = call.get(f"{USER}/token-usage").json()["items"]
    assert large == {
        "key": "large", "name": "large", "requests": 2, "input": 16, "cached": 0, "output": 2,
        "embedding": 0, "amount": "16",
    }  # fmt: skip
    assert small["requests"] == 1
    for group in ("key", "workspace", "day"):
        [whole] = call.get(f"{USER}/token-usage?by={group}&days=1").json()["items"]
        assert (whole["requests"], whole["amount"]) == (3, "21")
    assert call.get(f"{USER}/token-usage?by=colour").status_code == 422
    for days in ("0", "367", "0003669999999"):
        assert call.get(f"{USER}/token-usage?days={days}").status_code == 422
    assert team_caller(TeamFactory()).get(f"{USER}/token-usage").json()["items"] == []
    one_by_one(call, large["requests"] + small["requests"])
    assert team_caller(TeamFactory()).get(f"{USER}/token-requests").json()["items"] == []
    assert team_caller(team, "billing:read").get(f"{USER}/token-requests").status_code == 403
    assert team_caller(team, "billing:read").get(f"{USER}/token-usage").status_code == 403
