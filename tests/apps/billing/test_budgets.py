"""Budgets hold: whoever asks, however many at once, and each threshold is told of once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail
from django.db import connection

from apps.billing.errors import BudgetUsedUp
from apps.billing.models import Budget, BudgetAlert, Hold, Wallet
from apps.billing.reconcilers import cut_due
from apps.billing.selectors import proofs
from apps.billing.selectors.budgets import get_budget, list_budgets, period_start, spent_now
from apps.billing.services import budgeting, charging, mailing, tokens, wallets
from apps.billing.services.budgeting import BudgetWish
from apps.billing.signals import headroom_lost
from apps.billing.specs import GRACE, HOLD_AHEAD, Rate, Spender
from apps.core.actor import SYSTEM
from apps.core.clock import db_now
from apps.core.errors import Invalid, NotFound, NotPermitted
from apps.core.ids import new_id, new_uuid
from apps.core.permissions import Role
from apps.operations.models import Event
from apps.teams.models import Team, Workspace
from tests.factories.billing import START, begin, make_price, make_usage, resource, wallet_of
from tests.factories.teams import TeamFactory, actor_of, key_of, member_of, workspace_of

pytestmark = pytest.mark.django_db
RATE = Rate("type:cpu-2")


@pytest.fixture
def team() -> Team:
    return make_paying_team()


def make_paying_team() -> Team:
    make_price("type:cpu-2", "6")  # one a machine for the ten minutes that a launch holds
    for kind in ("input", "cached", "output"):
        make_price(f"tokens:llama:{kind}", "1")
    team: Team = TeamFactory()
    wallets.top_up(actor=SYSTEM, team=team, amount=Decimal(1000), reason="for the test")
    return team


def budget(team: Team, amount: str, action: str = "block", **wish: Any) -> Budget:
    asked = {"name": "Small", "level": "team", "period": "month", "amount": Decimal(amount), "action": action}
    return budgeting.set_budget(actor=SYSTEM, team=team, wish=BudgetWish(**{**asked, **wish}))


def reserve(team: Team, **spender: Any) -> str:
    name = resource()
    who = Spender(team.pk, **{"workspace_id": workspace_of(team).pk, **spender})
    charging.reserve(team_id=team.pk, resource_id=name, rates=[RATE], now=db_now(), spender=who)
    return name


def settle_tokens(team: Team, amount: str, key: str | None = None) -> None:
    """So much spent on tokens, at one per million."""
    now = db_now()
    counts = (int(Decimal(amount) * 1_000_000), 0, 0, 0)
    assert tokens.settle([make_usage(team, counts, at=now, key_id=key)]).counted == 1


def check_books() -> None:
    assert [found for found in proofs.verify() if not found.is_ok] == []


# ------------------------------------------------------------------ refusing


def test_what_is_held_counts_and_a_refusal_names_the_budget(team: Team) -> None:
    budget(team, "2.5")
    first, _second = reserve(team), reserve(team)
    with pytest.raises(BudgetUsedUp, match="Small"):
        reserve(team)
    assert wallet_of(team).held == 2
    reserve_again = Spender(team.pk)
    charging.reserve(
        team_id=team.pk, resource_id=first, rates=[RATE], now=db_now(), spender=reserve_again
    )  # a resource's own hold does not stand in its way
    charging.end(resource_id=first, now=db_now())
    reserve(team)
    check_books()


def test_one_that_only_tells_refuses_nothing(team: Team) -> None:
    budget(team, "0.5", "notify")
    reserve(team)


def test_a_budget_limits_only_whom_it_is_for(team: Team) -> None:
    other = Workspace.objects.create(team=team, name="Other", slug="other")
    key, someone = key_of(team).key, member_of(team)
    budget(team, "0.5", level="workspace", subject=workspace_of(team).pk, name="Default only")
    budget(team, "0.5", level="user", subject=someone.pk, name="One person")
    budget(team, "0.5", level="key", subject=key.pk, name="One key")
    with pytest.raises(BudgetUsedUp, match="Default only"):
        reserve(team)
    reserve(team, workspace_id=other.pk)
    with pytest.raises(BudgetUsedUp, match="One person"):
        reserve(team, workspace_id=other.pk, user_id=someone.pk)
    where = {"team_id": team.pk, "workspace_id": other.pk, "key_id": key.pk, "holder": "g"}
    assert tokens.lease(**where, amount=Decimal(1), now=db_now()).amount == Decimal("0.5")
    with pytest.raises(BudgetUsedUp, match="One key"):
        tokens.lease(**where, amount=Decimal(1), now=db_now())
    assert Hold.objects.get(key_id=key.pk).amount == Decimal("0.5")


@pytest.mark.django_db(transaction=True)
def test_64_at_once_do_not_overrun_a_budget() -> None:
    team = make_paying_team()
    budget(team, "3")
    where = {"team_id": team.pk, "workspace_id": workspace_of(team).pk, "key_id": None}

    def ask(number: int) -> Decimal:
        try:
            if number % 2:
                reserve(team)
                return Decimal(1)
            asked = Decimal("0.07")
            return tokens.lease(**where, holder=f"gateway {number}", amount=asked, now=db_now()).amount
        except BudgetUsedUp:
            return Decimal(0)
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=8) as pool:
        given = list(pool.map(ask, range(64)))
    assert sum(given) == sum(Hold.objects.values_list("amount", flat=True)) <= Decimal(3)
    assert sum(given) > Decimal("2.9") or given.count(Decimal("0.07")) == 32
    check_books()


# ------------------------------------------------------------------ counting and telling


def test_each_threshold_is_told_of_once(team: Team) -> None:
    made = budget(team, "10", "notify")
    told = Event.objects.filter(type="budget.reached", subject=made.pk)
    for amount, thresholds in (("4.9", []), ("0.1", [50]), ("0.1", [50]), ("4.2", [50, 80, 90]), ("3", None)):
        settle_tokens(team, amount)
        expected = [50, 80, 90, 100] if thresholds is None else thresholds
        assert sorted(one.data["threshold"] for one in told.all()) == expected
    assert told.latest("seq").data == {
        "name": "Small", "threshold": 100, "spent": "12.3", "amount": "10", "period": "month",
        "of": team.name, "then": "notify", "currency": "EUR",
    }  # fmt: skip
    assert BudgetAlert.objects.count() == 4
    assert mailing.mail_alerts() == 4
    assert mailing.mail_alerts() == 0
    assert len(mail.outbox) == 4
    assert len({one.extra_headers["Message-ID"] for one in mail.outbox}) == 4
    assert "Small" in mail.outbox[0].subject
    made.refresh_from_db()
    assert made.spent == Decimal("12.3")
    check_books()


def test_a_key_and_its_owner_are_charged_with_what_it_spends(team: Team) -> None:
    key = key_of(team).key
    by_key = budget(team, "10", level="key", subject=key.pk, name="Key")
    by_person = budget(team, "10", level="user", subject=key.user_id, name="Person")
    settle_tokens(team, "3", key.pk)
    settle_tokens(team, "4")
    assert {one.name: one.spent for one in Budget.objects.all()} == {"Key": 3, "Person": 3}
    assert spent_now(by_key, by_key.period_start + timedelta(days=40)) == 0
    assert by_person.used_percent == 0
    check_books()


def test_a_new_period_begins_at_nothing(team: Team) -> None:
    made = budget(team, "10", "block")
    earlier = period_start("month", made.period_start - timedelta(days=1))
    Budget.objects.filter(pk=made.pk).update(period_start=earlier, spent=9, alerted=90)
    settle_tokens(team, "6")
    made.refresh_from_db()
    assert (made.spent, made.alerted, made.period_start) == (6, 50, period_start("month", db_now()))
    check_books()


def test_what_runs_is_stopped_when_its_budget_is_used_up(team: Team) -> None:
    """6 an hour: what is held ahead is 0.5, so that 2 last for 15 minutes beside it."""
    heard: list[tuple[str, str]] = []

    def listen(*, resource_id: str, budget: str, **_rest: Any) -> None:
        heard.append((resource_id, budget))

    name = resource()
    begin(team, name, RATE)
    Budget.objects.create(
        team=team, name="Small", level="team", subject_id=new_uuid(), subject_label="", period="day",
        amount=2, action="stop", period_start=period_start("day", START), created_by_label="test",
    )  # fmt: skip
    Wallet.objects.filter(team=team).update(is_budgeted=True)
    headroom_lost.connect(listen)
    try:
        now = START
        while not heard:
            now += timedelta(seconds=50)
            cut_due(now=now)
            assert now < START + timedelta(hours=1)
    finally:
        headroom_lost.disconnect(listen)
    made = Budget.objects.get()
    assert heard[0] == (name, "Small")
    assert made.spent <= made.amount
    assert now - START >= timedelta(minutes=20) - HOLD_AHEAD - GRACE
    charging.end(resource_id=name, now=now)
    made.refresh_from_db()
    assert made.spent <= made.amount
    check_books()


# ------------------------------------------------------------------ setting them


def test_what_was_spent_before_counts_from_the_start(team: Team) -> None:
    settle_tokens(team, "8.5")
    made = budget(team, "10", "notify")
    assert made.spent == Decimal("8.5")
    assert sorted(BudgetAlert.objects.values_list("threshold", flat=True)) == [50, 80]
    check_books()


def test_people_of_billing_set_change_and_remove_them(team: Team) -> None:
    biller, viewer = (actor_of(team, member_of(team, role)) for role in (Role.TEAM_BILLING, Role.TEAM_VIEWER))
    wish = BudgetWish("Small", "team", "day", Decimal(5), "block")
    with pytest.raises(NotPermitted):
        budgeting.set_budget(actor=viewer, team=team, wish=wish)
    made = budgeting.set_budget(actor=biller, team=team, wish=wish)
    assert list(list_budgets(actor=viewer)) in ([made], [])
    changed = budgeting.change_budget(actor=biller, budget_id=made.pk, amount=Decimal(7), action="stop")
    assert (changed.amount, changed.action, changed.name) == (7, "stop", "Small")
    foreign = actor_of(TeamFactory())
    with pytest.raises(NotFound):
        budgeting.change_budget(actor=foreign, budget_id=made.pk, amount=Decimal(1))
    budgeting.remove_budget(actor=biller, budget_id=made.pk)
    with pytest.raises(NotFound):
        get_budget(actor=biller, budget_id=made.pk)
    reserve(team)


@pytest.mark.parametrize("amount", ["0", "-1", "NaN", "Infinity", "10000000000"])
def test_impossible_amounts_are_refused(team: Team, amount: str) -> None:
    with pytest.raises(Invalid):
        budget(team, amount)


def test_a_budget_is_for_something_of_the_team(team: Team) -> None:
    foreign = workspace_of(TeamFactory()).pk
    wrong = (("workspace", foreign), ("user", new_id("usr")), ("key", "nonsense"), ("key", foreign))
    for level, subject in wrong:
        with pytest.raises(Invalid):
            budget(team, "1", level=level, subject=subject)
