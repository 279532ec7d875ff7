"""Budgets in the Console."""

from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.billing.models import Budget
from apps.billing.services import budgeting
from apps.billing.services.budgeting import BudgetWish
from apps.core.actor import SYSTEM
from apps.core.permissions import Role
from apps.teams.models import Team
from tests.factories.teams import TeamFactory, admin_of, key_of, member_of
from tests.panels.money.conftest import browser, console

pytestmark = pytest.mark.django_db


@pytest.fixture
def team() -> Team:
    return TeamFactory()


def test_a_budget_is_set_seen_changed_and_removed(team: Team) -> None:
    client = browser(admin_of(team))
    assert b"No budget yet" in client.get(console(team, "budgets")).content
    asked = {"name": "Everybody", "subject": "team:", "period": "month", "amount": "100", "action": "block"}
    assert client.post(console(team, "budgets/new"), asked).status_code == 302
    made = Budget.objects.get()
    assert (made.level, made.amount, made.action) == ("team", 100, "block")
    Budget.objects.update(spent=90)
    page = client.get(console(team, "budgets")).content
    assert b"Everybody" in page
    assert b'class="bar bar-warn"' in page
    changed = {"name": "All", "amount": "80", "action": "stop"}
    assert client.post(console(team, f"budgets/{made.pk}"), changed).status_code == 302
    made.refresh_from_db()
    assert (made.name, made.amount, made.alerted) == ("All", 80, 100)
    refused = client.post(console(team, "budgets/new"), {**asked, "amount": "-1"})
    assert refused.status_code == 422


def test_one_may_be_for_a_person_a_key_or_a_workspace(team: Team) -> None:
    client = browser(admin_of(team))
    key = key_of(team).key
    for subject in (f"user:{admin_of(team).pk}", f"key:{key.pk}", f"workspace:{team.workspaces.get().pk}"):
        asked = {"name": "x", "subject": subject, "period": "day", "amount": "1", "action": "notify"}
        assert client.post(console(team, "budgets/new"), asked).status_code == 302
    assert set(Budget.objects.values_list("level", flat=True)) == {"user", "key", "workspace"}


def test_who_only_looks_is_not_offered_to_set_one(team: Team) -> None:
    viewer = browser(member_of(team, Role.TEAM_VIEWER))
    answer = viewer.get(console(team, "budgets"))
    assert answer.status_code in (200, 403, 404)
    assert b"budgets/new" not in answer.content
    assert viewer.get(console(team, "budgets/new")).status_code in (403, 404)


@pytest.mark.parametrize("page", ["budgets", "budgets/new"])
def test_pages_stay_within_their_budget(team: Team, page: str) -> None:
    client = browser(admin_of(team))
    for number in range(5):
        wish = BudgetWish(f"b{number}", "team", "day", Decimal(5), "notify")
        budgeting.set_budget(actor=SYSTEM, team=team, wish=wish)
        key_of(team)
    client.get(console(team, page))
    with CaptureQueriesContext(connection) as asked:
        answer = client.get(console(team, page))
    assert answer.status_code == 200
    assert b"style=" not in answer.content
    assert len(asked) <= 15, "\n".join(query["sql"][:150] for query in asked)
