"""The periodic cut: once per second used, for as long as it can be paid, whoever polls."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connections

from apps.billing import reconcilers
from apps.billing.errors import NoHeadroom
from apps.billing.models import Hold, Meter, MeterChange, Posting, UsageInterval
from apps.billing.selectors import ledger, proofs
from apps.billing.services import charging, metering, wallets
from apps.billing.signals import headroom_lost
from apps.billing.specs import CUT_EVERY, GRACE, HOLD_AHEAD, Rate
from apps.core.actor import SYSTEM
from apps.operations.models import Event
from tests.factories.billing import START, after, begin, make_price, make_team, resource, wallet_of

MACHINE = Rate("type:small")


@pytest.fixture
def lost():
    """The resources that were reported to have lost their headroom."""
    heard = []

    def hear(sender, resource_id, team_id, **_rest):
        heard.append(resource_id)

    headroom_lost.connect(hear)
    yield heard
    headroom_lost.disconnect(hear)


def unproved() -> set[str]:
    """The invariants that do not hold, but for holds: the tests' clock is not the database's."""
    return {finding.name for finding in proofs.verify() if not finding.is_ok} - {"holds_expired"}


@pytest.mark.django_db
def test_a_running_machine_is_cut_when_due_and_its_hold_moves_along():
    make_price("type:small", "3.6")
    team, machine = make_team("10"), resource()
    begin(team, machine, MACHINE)
    assert reconcilers.cut_due(now=after(seconds=49)) == 0
    assert reconcilers.cut_due(now=START + CUT_EVERY) == 1
    assert reconcilers.cut_due(now=START + CUT_EVERY) == 0
    assert wallet_of(team).balance == Decimal("9.95")
    held = Hold.objects.get()
    assert held.amount == Decimal("0.001") * int(HOLD_AHEAD.total_seconds())
    assert held.expires_at > START + CUT_EVERY + HOLD_AHEAD


@pytest.mark.django_db
def test_what_cannot_be_paid_is_reported_after_the_grace_period_and_never_overdraws(lost):
    make_price("type:small", "3.6")
    team, machine = make_team("0.4"), resource()
    begin(team, machine, MACHINE)
    reconcilers.cut_due(now=after(seconds=100))
    assert Meter.objects.get().short_since is None
    reconcilers.cut_due(now=after(seconds=200))
    assert (Meter.objects.get().short_since, lost) == (after(seconds=200), [])
    reconcilers.cut_due(now=after(seconds=200) + GRACE)
    assert lost == [machine]
    assert list(Event.objects.filter(type="wallet.short").values_list("subject", flat=True)) == [team.pk]
    assert wallet_of(team).balance == Decimal("0.02")
    reconcilers.cut_due(now=after(seconds=500))
    assert lost == [machine, machine]
    assert (wallet_of(team).balance, wallet_of(team).held) == (0, 0)
    assert ledger.uncollected(SYSTEM, team_id=team.pk) == Decimal("0.1")
    charging.end(resource_id=machine, now=after(seconds=510))
    reconcilers.cut_due(now=after(seconds=900))
    assert len(lost) == 2


@pytest.mark.django_db
def test_a_top_up_in_time_saves_the_machine(lost):
    make_price("type:small", "3.6")
    team, machine = make_team("0.2"), resource()
    begin(team, machine, MACHINE)
    assert Meter.objects.get().short_since == START
    wallets.top_up(actor=SYSTEM, team=team, amount=Decimal(5), reason="in time")
    reconcilers.cut_due(now=Meter.objects.get().next_cut_at)
    assert Meter.objects.get().short_since is None
    assert lost == []


@pytest.mark.django_db
def test_a_receiver_that_fails_stops_nobody_elses_charging(lost):
    make_price("type:small", "3.6")

    def fail(sender, **_rest):
        raise RuntimeError("a receiver's bug")

    headroom_lost.connect(fail)
    try:
        for _machine in range(2):
            begin(make_team(), resource(), MACHINE)
        assert reconcilers.cut_due(now=after(minutes=10)) == 2
    finally:
        headroom_lost.disconnect(fail)
    assert len(lost) == 2


@pytest.mark.django_db
def test_a_meter_without_a_price_is_parked_and_charged_in_full_once_there_is_one():
    make_price("type:small", "3.6")
    team, machine = make_team("10"), resource()
    begin(team, machine, MACHINE)
    begin(team, machine, Rate("disk", Decimal(10)), now=after(seconds=10))
    begin(team, machine, Rate("disk", Decimal(10)), now=after(seconds=15))
    begin(team, machine, MACHINE, now=after(seconds=20))
    assert "disk has no price" in Meter.objects.get().parked_because
    assert reconcilers.cut_due(now=after(seconds=90)) == 0
    assert "meters_parked" in unproved()
    make_price("disk", "0.36")
    charging.end(resource_id=machine, now=after(seconds=30))
    assert MeterChange.objects.count() == 4
    assert wallet_of(team).balance == 10 - Decimal("0.02") - Decimal("0.01")
    assert unproved() == set()


@pytest.mark.django_db
def test_a_meter_that_postgresql_refuses_holds_up_no_other(monkeypatch):
    make_price("type:small", "3.6")
    sick, well = sorted([resource(), resource()])
    for machine in (sick, well):
        begin(make_team("5"), machine, MACHINE)

    def refuse(cuts, settle=metering.settle):
        if any(cut.meter.pk == sick for cut in cuts):
            raise IntegrityError("a row that is not accepted")
        return settle(cuts)

    monkeypatch.setattr(reconcilers, "settle", refuse)
    assert reconcilers.cut_due(now=after(minutes=1)) == 2
    assert UsageInterval.objects.get().resource_id == well
    assert Meter.objects.get(pk=sick).parked_because == "a row that is not accepted"


@pytest.mark.django_db
def test_holds_that_nobody_used_are_given_back():
    make_price("type:small", "6")
    team, never, runs = make_team("10"), resource(), resource()
    charging.reserve(team_id=team.pk, resource_id=never, rates=[MACHINE], now=START)
    begin(team, runs, MACHINE)
    assert reconcilers.release_expired(now=after(minutes=59)) == 0
    assert reconcilers.release_expired(now=after(minutes=61)) == 1
    assert [hold.resource_id for hold in Hold.objects.all()] == [runs]
    assert wallet_of(team).held == Hold.objects.get().amount


def _in_threads(work, times, threads=8):
    """Results or refusals of concurrent calls; each thread closes its connection."""

    def run(number):
        try:
            return work(number)
        except NoHeadroom as refusal:
            return refusal
        finally:
            connections.close_all()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(times)))


@pytest.mark.django_db(transaction=True)
def test_64_clients_never_reserve_more_than_one_wallet_has():
    make_price("type:small", "6")
    team = make_team("10.5")
    answers = _in_threads(
        lambda n: charging.reserve(team_id=team.pk, resource_id=f"ins_{n}", rates=[MACHINE], now=START), 64
    )
    assert sum(isinstance(answer, NoHeadroom) for answer in answers) == 54
    assert (wallet_of(team).held, Hold.objects.count()) == (10, 10)


@pytest.mark.django_db(transaction=True)
def test_pollers_side_by_side_charge_every_second_once():
    make_price("type:small", "3.6")
    teams = [make_team("50") for _each in range(3)]
    for number in range(30):
        begin(teams[number % 3], resource(), MACHINE)
    done = _in_threads(lambda n: reconcilers.cut_due(now=after(minutes=1), limit=7), 6, threads=4)
    assert sum(done) == 30
    assert UsageInterval.objects.count() == 30
    assert {team.pk: wallet_of(team).balance for team in teams} == {
        team.pk: Decimal("49.4") for team in teams
    }
    assert sum(Posting.objects.values_list("amount", flat=True)) == 0
    reconcilers.cut_due(now=after(minutes=1) + timedelta(seconds=60))
    assert unproved() == set()
