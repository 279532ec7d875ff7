"""A team that cannot pay is suspended after a week, and resumed as soon as it can."""

from datetime import timedelta
from decimal import Decimal
from smtplib import SMTPServerDisconnected

import pytest
from django.core import mail

from apps.billing.models import Meter, Notice
from apps.billing.reconcilers import cut_due
from apps.billing.services import budgeting, dunning, mailing, wallets
from apps.billing.services.budgeting import BudgetWish
from apps.billing.specs import Rate
from apps.core.actor import SYSTEM
from apps.core.clock import db_now
from apps.core.permissions import Role
from apps.operations.models import Event
from tests.factories.billing import START, begin, make_price, make_team, resource
from tests.factories.teams import member_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def team():
    """A team whose stopped machine keeps a disk that it cannot pay for."""
    make_price("disk", "0.1")
    made = make_team()
    begin(made, resource(), Rate("disk", Decimal(20)))
    assert Meter.objects.get().short_since == START
    return made


def state_of(team):
    team.refresh_from_db()
    return team.state


def test_the_ladder_goes_up_in_time_and_down_with_the_money(team):
    assert dunning.review(now=START + timedelta(days=6)) == 0
    assert state_of(team) == "active"
    week = START + timedelta(days=7)
    assert dunning.review(now=week) == 1
    assert state_of(team) == "suspended"
    assert "2026-04-07" in team.suspended_because
    assert dunning.review(now=week) == 0
    wallets.top_up(actor=SYSTEM, team=team, amount=Decimal(1000), reason="paid")
    cut_due(now=week + timedelta(minutes=1))
    assert dunning.review(now=week + timedelta(minutes=2)) == 1
    assert (state_of(team), team.suspended_because) == ("active", "")


def test_each_step_is_mailed_once_to_whoever_pays(team):
    boss = member_of(team, Role.TEAM_ADMIN)
    at = START + timedelta(minutes=2)
    for _again in range(2):
        dunning.review(now=at)
    for days in (8, 38, 38):
        dunning.review(now=START + timedelta(days=days))
    wallets.top_up(actor=SYSTEM, team=team, amount=Decimal(10_000), reason="paid")
    for _again in range(2):
        dunning.review(now=START + timedelta(days=39))
    assert (mailing.mail_notices(), mailing.mail_notices()) == (4, 0)
    assert [one.to for one in mail.outbox] == [[boss.email]] * 4
    assert [one.subject for one in mail.outbox] == [
        f"[hostedai] The balance of {team.name} has run out",
        f"[hostedai] {team.name} is suspended",
        f"[hostedai] The data of {team.name} need not be kept any longer",
        f"[hostedai] {team.name} is active again",
    ]
    assert "2026-04-07" in mail.outbox[1].body
    told = Event.objects.filter(team_id=team.pk, type__regex=r"^(team\.|wallet\.run_out)").order_by("seq")
    steps = ["wallet.run_out", "team.suspended", "team.data_due", "team.resumed"]
    assert [one.type for one in told] == steps
    assert told[0].data["currency"] == "EUR"
    assert len({one.extra_headers["Message-ID"] for one in mail.outbox}) == 4


def test_a_message_that_cannot_be_sent_holds_up_no_other_and_is_sent_later(team, monkeypatch):
    member_of(team, Role.TEAM_BILLING)
    first, second = (Notice.objects.create(team=team, kind=kind) for kind in ("short", "resumed"))

    def refuse(self: mail.EmailMessage, **_how: object) -> int:
        if "run out" in self.subject:
            raise SMTPServerDisconnected("not now")
        return send(self)

    send = mail.EmailMessage.send
    monkeypatch.setattr(mail.EmailMessage, "send", refuse)
    assert mailing.mail_notices() == 1
    assert list(Notice.objects.filter(mailed_at=None)) == [first]
    monkeypatch.undo()
    assert mailing.mail_notices() == 1
    assert [one.extra_headers["Message-ID"] for one in mail.outbox] == [
        f"<notice-{one.pk}@hostedai>" for one in (second, first)
    ]


def test_names_and_addresses_that_mail_does_not_carry_hold_up_nobody(team):
    member_of(team, Role.TEAM_BILLING)
    team.name = "Two\nlines"
    team.save()
    odd = make_team()
    member_of(odd, Role.TEAM_BILLING, email="who@" + "x" * 64 + "ä.example")
    for one in (odd, team):
        Notice.objects.create(team=one, kind="short")
    assert mailing.mail_notices() == 1
    assert [one.subject for one in mail.outbox] == ["[hostedai] The balance of Two lines has run out"]


def test_those_that_are_refused_for_ever_do_not_take_all_turns(team, monkeypatch):
    monkeypatch.setattr("apps.core.mailing.AT_ONCE", 1)
    member_of(team, Role.TEAM_BILLING)
    odd = make_team()
    member_of(odd, Role.TEAM_BILLING, email="who@" + "x" * 64 + "ä.example")
    for one in (odd, team):
        Notice.objects.create(team=one, kind="short")
    assert any(mailing.mail_notices() for _turn in range(100))


def test_what_could_not_be_mailed_for_a_week_is_given_up(team):
    member_of(team, Role.TEAM_BILLING)
    Notice.objects.create(team=team, kind="short", at=db_now() - timedelta(days=8))
    Notice.objects.create(team=team, kind="resumed", at=db_now() - timedelta(days=6))
    assert mailing.mail_notices() == 1
    assert ["active again" in one.subject for one in mail.outbox] == [True]


def test_what_only_a_budget_stops_is_no_debt():
    make_price("disk", "0.1")
    rich = make_team("1000")
    wish = BudgetWish("Small", "team", "month", Decimal("0.001"), "stop")
    budgeting.set_budget(actor=SYSTEM, team=rich, wish=wish)
    begin(rich, resource(), Rate("disk", Decimal(20)))
    assert Meter.objects.get().short_since == START
    assert dunning.review(now=START + timedelta(days=9)) == 0
    assert (state_of(rich), Notice.objects.count()) == ("active", 0)


def test_a_week_without_money_begins_when_the_money_is_gone_whatever_a_budget_stopped_before():
    make_price("disk", "0.1")
    team = make_team("1")
    wish = BudgetWish("Small", "team", "month", Decimal("0.001"), "stop")
    budget = budgeting.set_budget(actor=SYSTEM, team=team, wish=wish)
    begin(team, resource(), Rate("disk", Decimal(20)))
    gone = START + timedelta(days=5)
    cut_due(now=gone)
    meter = Meter.objects.get()
    assert (meter.short_since, meter.unpaid_since) == (START, gone)
    assert dunning.review(now=START + timedelta(days=8)) == 0
    budgeting.remove_budget(actor=SYSTEM, budget_id=str(budget.pk))
    cut_due(now=gone + timedelta(days=1))
    assert Meter.objects.get().unpaid_since == gone
    assert dunning.review(now=gone + timedelta(days=7)) == 1
    assert state_of(team) == "suspended"


def test_nothing_is_deleted_and_staff_are_told_once(team):
    dunning.review(now=START + timedelta(days=8))
    late = START + timedelta(days=38)
    assert [dunning.review(now=late), dunning.review(now=late)] == [1, 0]
    assert Event.objects.filter(type=dunning.DATA_DUE, subject=team.pk).count() == 1
    assert Meter.objects.get().ended_at is None


def test_teams_that_owe_nothing_and_those_suspended_by_staff_are_left_alone(team):
    idle, bad = make_team(), make_team("5")
    dunning.suspend_team(actor=SYSTEM, team=bad, reason="Spam")
    dunning.review(now=START + timedelta(days=9))
    assert (state_of(idle), state_of(bad)) == ("active", "suspended")
    assert state_of(team) == "suspended"
