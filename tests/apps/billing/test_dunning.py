"""A team that cannot pay is suspended after a week, and resumed as soon as it can."""

from datetime import timedelta
from decimal import Decimal

import pytest

from apps.billing.models import Meter
from apps.billing.reconcilers import cut_due
from apps.billing.services import dunning, wallets
from apps.billing.specs import Rate
from apps.core.actor import SYSTEM
from apps.operations.models import Event
from tests.factories.billing import START, begin, make_price, make_team, resource

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
