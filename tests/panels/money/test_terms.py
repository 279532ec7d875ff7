"""Costs in the Console; price matrix, price models and quarantine in the Admin panel."""

from datetime import UTC, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.billing.models import PriceVersion, Quarantined, UsageDay
from apps.teams.models import Team
from tests.factories.billing import make_price
from tests.factories.instances import make_hours, make_stage
from tests.factories.teams import TeamFactory, admin_of
from tests.panels.money.conftest import browser, text_of

pytestmark = pytest.mark.django_db
BUDGET = 15


@pytest.fixture
def team() -> Team:
    """A team that ran one machine around the clock for two weeks."""
    make_price("type:big", "2")
    make_price("type:big:spot", "1")
    made = TeamFactory()
    today = timezone.now().astimezone(UTC).date()
    for back in range(1, 15):
        UsageDay.objects.create(
            team=made, workspace_id=made.workspaces.first().pk, resource_id="ins_a", product="type:big",
            day=today - timedelta(days=back), seconds=86400, unit_seconds=86400, amount=48,
        )  # fmt: skip
    return made


def test_costs_shows_advice_with_the_usage_it_rests_on_and_an_estimate(team: Team) -> None:
    client, place = browser(admin_of(team)), f"/console/{team.slug}/default/cost"
    client.get(place)  # the first look after signing in also writes the session
    with CaptureQueriesContext(connection) as queries:
        page = text_of(client.get(place))
    assert len(queries) <= BUDGET
    assert "Run it on spot" in page
    assert "720.00" in page
    page = text_of(client.get(f"{place}?because=spot:type:big"))
    assert "ins_a" in page
    asked = {"product": "type:big", "quantity": "2", "hours": "100"}
    answer = client.post(f"{place}/estimate", asked)
    assert answer.status_code == 302
    assert "400.00" in text_of(client.get(answer["Location"]))
    assert "not sold" in text_of(client.get(f"{place}?product=type:none&quantity=1&hours=1"))
    assert client.post(f"{place}/estimate", asked | {"hours": "9999"}).status_code == 422


def test_costs_tells_of_machines_that_do_nothing_or_have_too_much(tmp_path: Path) -> None:
    stage = make_stage(tmp_path)
    idle, large = stage.running(), stage.running(type="cpu-4")
    client, place = browser(admin_of(stage.team)), f"/console/{stage.team.slug}/default/cost"
    page = text_of(client.get(place))
    assert "Nothing to save" in page
    assert "measured for a day" in page
    make_hours(idle, hours=26, hourly="0.11")
    make_hours(large, hours=73, hourly="0.20", cpu_most=30, memory_most=40)
    with CaptureQueriesContext(connection) as queries:
        page = text_of(client.get(place))
    assert len(queries) <= BUDGET
    for words in (
        "Stop it",
        "at most in 26 h: processors 2\u00a0%, memory 12\u00a0%",
        "Take cpu-2 instead",
        "69.12",
    ):
        assert words in page
    assert "145.44" in page  # both together
    assert idle.pk in text_of(client.get(f"{place}?because=idle:{idle.pk}"))


def test_the_matrix_shows_a_product_once_with_all_its_markets(team: Team, staff: Client) -> None:
    page = text_of(staff.get("/admin/prices/matrix"))
    assert page.count(">big<") == 1
    assert "No price here" in text_of(staff.get("/admin/prices/matrix?currency=KWD"))


def test_a_price_with_tiers_is_set_from_the_panel(team: Team, staff: Client) -> None:
    asked = {
        "product": "egress", "currency": "EUR", "unit_price": "1", "model": "graduated", "included": "5",
        "tiers": "100 0.10\nrest 0.05",
    }  # fmt: skip
    assert staff.post("/admin/prices/new", asked).status_code == 302
    made = PriceVersion.objects.get(product="egress")
    assert (made.tiers, made.included, made.unit_price) == (
        [["100", "0.1"], [None, "0.05"]],
        5,
        Decimal("0.1"),
    )
    assert staff.post("/admin/prices/new", asked | {"tiers": "a lot"}).status_code == 422


def test_quarantine_is_listed_shown_and_decided(team: Team, staff: Client) -> None:
    payload = {"id": "e-7", "source": "rag"}
    one = Quarantined.objects.create(
        source="rag", event_id="e-7", reason="malformed", payload=payload, payload_hash=b"1", team_id=team.pk
    )
    with CaptureQueriesContext(connection) as queries:
        assert "e-7" in text_of(staff.get("/admin/quarantine"))
    assert len(queries) <= BUDGET
    assert "As it came" in text_of(staff.get(f"/admin/quarantine/{one.pk}"))
    assert staff.post(f"/admin/quarantine/{one.pk}/discard", {"note": ""}).status_code == 422
    assert staff.post(f"/admin/quarantine/{one.pk}/discard", {"note": "a test"}).status_code == 302
    one.refresh_from_db()
    assert (one.state, one.note) == ("discarded", "a test")
    assert browser(admin_of(team)).get("/admin/quarantine").status_code == 404
