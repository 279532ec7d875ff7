"""Usage events, quarantine, price models, terms, estimates, advice and vouchers through the APIs."""

from datetime import timedelta
from decimal import Decimal

import pytest

from apps.billing.models import PriceList, UsageDay
from apps.billing.services import charges, lists, top_up
from apps.core.actor import SYSTEM
from apps.core.clock import db_now
from apps.core.permissions import Role
from tests.api.world import Caller, staff_caller, team_caller
from tests.factories.billing import make_price
from tests.factories.instances import make_hours, make_stage
from tests.factories.supply import make_supply
from tests.factories.teams import TeamFactory
from tests.factories.users import UserFactory

pytestmark = pytest.mark.django_db
USER, ADMIN = "/api/user/v1", "/api/admin/v1"


@pytest.fixture
def team():
    made = TeamFactory()
    top_up(actor=SYSTEM, team=made, amount=Decimal(100), reason="wire")
    return made


@pytest.fixture
def staff() -> Caller:
    return staff_caller(UserFactory(staff=Role.FULL_ADMINISTRATOR))


def event(team, number=1, quantity="1000"):
    return {
        "id": f"e-{number}", "source": "rag", "type": "rag_pages", "team": team.pk,
        "time": (db_now() - timedelta(hours=1)).replace(microsecond=0).isoformat(),
        "data": {"quantity": quantity},
    }  # fmt: skip


def test_events_are_judged_one_by_one_and_quarantine_is_decided_by_staff(team, staff):
    make_price("rag-pages", "2")
    one = event(team)
    answer = staff.post(f"{ADMIN}/usage-events", {"events": [one, one, {**one, "data": {"quantity": 5}}, 7]})
    assert answer.status_code == 200
    assert [r["status"] for r in answer.json()["results"]] == [
        "accepted",
        "duplicate",
        "conflict",
        "rejected",
    ]
    assert answer.json()["accepted"] == 1
    assert staff.post(f"{ADMIN}/usage-events", {"events": []}).status_code == 422
    assert staff.post(f"{ADMIN}/usage-events", {"events": [one] * 1001}).status_code == 422
    assert team_caller(team).post(f"{ADMIN}/usage-events", {"events": [one]}).status_code in {401, 403}
    charges.rate_pending()
    [report] = staff.get(f"{ADMIN}/quarantine?state=open").json()["items"]
    place = f"{ADMIN}/quarantine/{report['id']}"
    assert staff.post(f"{place}/discard", {}).status_code == 422
    assert staff.post(f"{place}/release", {}).json()["state"] == "released"
    assert staff.post(f"{place}/discard", {"note": "late"}).status_code == 409
    charges.rate_pending()
    assert staff.get(f"{ADMIN}/wallets/{team.pk}").json()["balance"] == "99.99"


def test_what_had_no_price_is_charged_after_all_or_never(team, staff):
    sent = [event(team, 1), event(team, 2)]
    staff.post(f"{ADMIN}/usage-events", {"events": sent})
    charges.rate_pending()
    first, second = staff.get(f"{ADMIN}/quarantine").json()["items"]
    make_price("rag-pages", "2")
    assert staff.post(f"{ADMIN}/quarantine/{first['id']}/release", {}).status_code == 200
    discarded = staff.post(f"{ADMIN}/quarantine/{second['id']}/discard", {"note": "goodwill"}).json()
    assert (discarded["state"], discarded["note"]) == ("discarded", "goodwill")
    assert charges.rate_pending() == 1
    assert staff.get(f"{ADMIN}/wallets/{team.pk}").json()["balance"] == "98"


def test_a_price_may_have_tiers_and_a_list_and_is_previewed(team, staff):
    make_price("egress", "2")
    UsageDay.objects.create(
        team=team, workspace_id=team.workspaces.first().pk, resource_id="r", product="egress",
        day=db_now().date(), seconds=0, unit_seconds=0, quantity=150, amount=300,
    )  # fmt: skip
    wanted = {
        "product": "egress", "currency": "EUR", "unit_price": "1", "model": "graduated", "included": "50",
        "tiers": [{"up_to": "40", "price": "1"}, {"up_to": None, "price": "0.5"}],
    }  # fmt: skip
    shown = staff.post(f"{ADMIN}/prices/preview", wanted).json()
    assert (shown["before"], shown["after"], len(shown["teams"])) == ("300", "70", 1)
    made = staff.post(f"{ADMIN}/prices", wanted)
    assert made.status_code == 201
    assert made.json()["tiers"] == [["40", "1"], [None, "0.5"]]
    for wrong in (
        {"model": "volume", "tiers": []},
        {"tiers": [{"up_to": "5", "price": "1"}]},
        {"model": "package", "tiers": [], "package_size": "0"},
        {"model": "unit"},
        {"book": "unheard-of"},
        {"product": "tokens:llama:input"},
    ):
        assert staff.post(f"{ADMIN}/prices", wanted | wrong).status_code == 422, wrong


def test_a_team_pays_by_its_list_from_a_moment_on(team, staff):
    assert staff.post(f"{ADMIN}/price-lists", {"slug": "partners", "name": "Partners"}).status_code == 201
    assert staff.post(f"{ADMIN}/price-lists", {"slug": "partners", "name": "Again"}).status_code == 409
    assert staff.post(f"{ADMIN}/price-lists", {"slug": "No good", "name": "x"}).status_code == 422
    assert [one["slug"] for one in staff.get(f"{ADMIN}/price-lists").json()["items"]] == ["partners"]
    chosen = staff.post(f"{ADMIN}/terms/{team.pk}/book", {"book": "partners"})
    assert (chosen.status_code, chosen.json()["book"]) == (200, "standard")
    assert staff.post(f"{ADMIN}/terms/{team.pk}/book", {"book": "nothing"}).status_code == 422
    past = {"book": "partners", "at": "2020-01-01T00:00:00Z"}
    assert staff.post(f"{ADMIN}/terms/{team.pk}/book", past).status_code == 422
    fee = {"name": "Base", "period": "month", "amount": "9", "starts_on": "2026-01-01"}
    made = staff.post(f"{ADMIN}/terms/{team.pk}/fees", fee)
    assert (made.status_code, made.json()["fees"][0]["amount"]) == (201, "9")
    promise = {"name": "Reserved", "amount": "90", "products": "type:", "starts_on": "2026-01-01"}
    made = staff.post(f"{ADMIN}/terms/{team.pk}/commitments", promise)
    assert (made.status_code, made.json()["commitments"][0]["products"]) == (201, "type:")


def test_an_estimate_prices_a_launch_by_the_teams_own_list(team):
    supply = make_supply()
    now = db_now()
    make_price(supply.type.product, "1.00")
    make_price(f"{supply.type.product}:spot", "0.40")
    make_price("disk", "0.0001")
    make_price("tokens:llama:input", "0.5")
    PriceList.objects.create(slug="partners", name="Partners")
    make_price(supply.type.product, "0.80", book="partners")
    call = team_caller(team)
    wish = {"name": "x", "region": supply.region.slug, "type": supply.type.slug, "image": supply.image.slug}
    asked = {"instance": wish, "count": 2, "hours": "100"}
    found = call.post(f"{USER}/cost/estimate", asked).json()
    assert (found["hourly"], found["monthly"], found["runway_hours"]) == ("2", "200", "50")
    assert found["lines"][0]["spot_hourly"] == "0.8"
    lists.PriceListChoice.objects.create(
        team=team, book="partners", valid_from=now - timedelta(minutes=1), created_by="test"
    )
    tokens = {"tokens": [{"model": "llama", "input": 3_000_000}]}
    found = call.post(f"{USER}/cost/estimate", asked | tokens).json()
    assert (found["hourly"], found["monthly"]) == ("1.6", "161.5")
    refused = call.post(f"{USER}/cost/estimate", {"rates": [{"product": "type:nothing"}]})
    assert (refused.status_code, refused.json()["code"]) == (422, "no_price")
    blind = team_caller(team, "price:read").post(f"{USER}/cost/estimate", asked)
    assert blind.json()["runway_hours"] is None


def test_advice_says_what_would_be_saved_and_from_which_days(team):
    make_price("type:big", "2")
    make_price("type:big:spot", "1")
    make_price("type:big:reserved", "1.50")
    today = db_now().date()
    for back in range(1, 15):
        UsageDay.objects.create(
            team=team, workspace_id=team.workspaces.first().pk, resource_id="ins_a", product="type:big",
            day=today - timedelta(days=back), seconds=86400, unit_seconds=86400, amount=48,
        )  # fmt: skip
    items = team_caller(team).get(f"{USER}/cost/advice").json()["items"]
    assert [(one["kind"], one["saving"], one["days"]) for one in items] == [
        ("spot", "720", 14), ("commitment", "360", 14),
    ]  # fmt: skip
    assert {(row["amount"], row["instead"], row["unit_hours"]) for row in items[0]["rows"]} == {
        ("48", "24", "24")
    }
    assert team_caller(TeamFactory()).get(f"{USER}/cost/advice").json()["items"] == []


def test_advice_about_machines_says_what_was_measured(tmp_path):
    stage = make_stage(tmp_path)
    stage.running()
    idle, large = stage.running(), stage.running(type="cpu-4")
    make_hours(idle, hours=26, hourly="0.11")
    make_hours(large, hours=73, hourly="0.20", cpu_most=30, memory_most=40)
    call = team_caller(stage.team)
    items = call.get(f"{USER}/cost/advice").json()["items"]
    assert [(one["kind"], one["subject"], one["instead"], one["measured_hours"]) for one in items] == [
        ("idle", idle.pk, "", "26"), ("too_large", large.pk, "type:cpu-2", "73"),
    ]  # fmt: skip
    assert [one["saving"] for one in items] == ["76.32", "69.12"]
    assert items[1]["peaks"] == {"cpu": "30", "memory": "40"}
    [row] = items[0]["rows"]
    assert (row["resource_id"], row["unit_hours"], row["amount"], row["instead"]) == (
        idle.pk, "10", "1.1", "0.04",
    )  # fmt: skip
    blind = team_caller(stage.team, "usage:read").get(f"{USER}/cost/advice")
    assert blind.json()["items"] == []  # who may not see machines is told nothing of them


def test_a_voucher_is_made_by_staff_and_entered_by_a_team(team, staff):
    made = staff.post(f"{ADMIN}/vouchers", {"name": "Fair", "currency": "EUR", "amount": "20"})
    assert made.status_code == 201
    code = made.json()["code"]
    [listed] = staff.get(f"{ADMIN}/vouchers").json()["items"]
    assert (listed["hint"], "code" in listed) == (code[:5], False)
    call = team_caller(team)
    assert call.post(f"{USER}/vouchers", {"code": code}).json() == {"amount": "20", "currency": "EUR"}
    assert call.post(f"{USER}/vouchers", {"code": "WRONG"}).status_code == 404
    assert call.get(f"{USER}/wallet").json()["balance"] == "120"
