"""Grants and vouchers, fees and commitments: what is paid from where, and what is paid whatever is used."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from apps.billing.models import AccountKind, Commitment, CreditGrant, GrantUse, RatedUsage, Transaction
from apps.billing.selectors import proofs
from apps.billing.services import charging, fees, grants, wallets
from apps.billing.services.fees import NewCommitment, NewFee
from apps.billing.services.grants import NewGrant, NewVoucher
from apps.billing.specs import Rate
from apps.billing.states import FeePeriod
from apps.core.actor import SYSTEM, Actor, team_scope
from apps.core.clock import db_now
from apps.core.errors import Conflict, Invalid, NotFound, NotPermitted
from apps.core.permissions import GRANTS, Role
from apps.teams.services import close_team
from tests.factories.billing import START, after, begin, make_price, make_team, resource, total, wallet_of

pytestmark = pytest.mark.django_db


def sound() -> set[str]:
    return {f.name for f in proofs.verify() if not f.is_ok} - {"holds_expired"}


@pytest.fixture
def team():
    return make_team("100")


def give(team, amount: str, **options):
    new = NewGrant(Decimal(amount), f"grant {amount}", f"r {amount}", at=START, **options)
    return grants.give(team_id=team.pk, new=new, by="test")


def use(team, hours: int) -> None:
    machine = resource()
    begin(team, machine, Rate("type:small"))
    charging.end(resource_id=machine, now=after(hours=hours))


def test_credit_is_used_by_priority_then_by_what_lapses_first(team):
    make_price("type:small", "10")
    give(team, "7")
    give(team, "5", expires_at=after(days=9))
    give(team, "3", expires_at=after(days=5))
    give(team, "2", priority=10)
    use(team, 1)
    assert grants.assign(team_id=team.pk) == 10
    left = dict(CreditGrant.objects.values_list("amount", "remaining"))
    assert left == {2: 0, 3: 0, 5: 0, 7: 7}
    assert grants.assign(team_id=team.pk) == 0
    assert sum(GrantUse.objects.values_list("amount", flat=True)) == 10
    march, april = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
    by_grant = grants.used(team_id=team.pk, start=march, end=april)
    assert sorted(by_grant.values()) == [2, 3, 5]
    assert grants.used(team_id=team.pk, start=april, end=april + timedelta(days=30)) == {}
    assert sound() == set()


def test_what_is_dated_back_is_paid_from_credit_all_the_same(team):
    """A meter that catches up, and a month's fee, are booked at moments that have been assigned already."""
    make_price("type:small", "10")
    give(team, "15", expires_at=after(days=1))
    use(team, 1)
    assert grants.assign(team_id=team.pk) == 10
    new = NewFee("Base", FeePeriod.ONCE, Decimal(3), date(2026, 2, 1))
    fees.add_fee(actor=SYSTEM, team=team, new=new)
    fees.charge_due(now=after(days=0))
    assert grants.expire_due(now=after(days=2)) == 1
    assert total(AccountKind.EXPIRED) == 2
    february = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
    assert list(grants.used(team_id=team.pk, start=february[0], end=february[1]).values()) == [3]
    assert sound() == set()


def test_credit_that_lapses_is_taken_back_as_far_as_it_was_not_used(team):
    make_price("type:small", "10")
    give(team, "15", expires_at=after(days=1))
    use(team, 1)
    assert grants.expire_due(now=after(hours=3)) == 0
    assert grants.expire_due(now=after(days=2)) == 1
    assert grants.expire_due(now=after(days=3)) == 0
    assert wallet_of(team).balance == 100
    assert total(AccountKind.EXPIRED) == 5
    assert sound() == set()


def test_credit_that_is_held_lapses_when_it_is_free():
    team = make_team()
    make_price("type:small", "60")
    give(team, "11", expires_at=after(days=1))
    machine = resource()
    charging.reserve(team_id=team.pk, resource_id=machine, rates=[Rate("type:small")], now=START)
    assert grants.expire_due(now=after(days=2)) == 0
    charging.end(resource_id=machine, now=START)
    assert grants.expire_due(now=after(days=2)) == 1
    assert wallet_of(team).balance == 0


def test_the_same_grant_is_given_once(team):
    first = wallets.grant_credit(actor=SYSTEM, team=team, amount=Decimal(4), reason="x", reference="G")
    again = wallets.grant_credit(actor=SYSTEM, team=team, amount=Decimal(4), reason="x", reference="G")
    assert first.pk == again.pk
    assert CreditGrant.objects.count() == 1
    with pytest.raises(Invalid):
        wallets.grant_credit(actor=SYSTEM, team=team, amount=Decimal(4), reason="x", expires_at=START)


def payer(team) -> Actor:
    return Actor("payer", {team_scope(team.pk): GRANTS[Role.TEAM_BILLING]}, kind="user")


def test_a_voucher_gives_credit_once_per_team_until_it_is_used_up():
    new = NewVoucher("fair", "EUR", Decimal(20), uses=2, credit_days=30)
    _voucher, code = grants.create_voucher(actor=SYSTEM, new=new)
    first, second, third = make_team(), make_team(), make_team()
    grants.redeem(actor=payer(first), team=first, code=code.lower())
    with pytest.raises(Conflict):
        grants.redeem(actor=payer(first), team=first, code=code)
    grants.redeem(actor=payer(second), team=second, code=f" {code} ")
    for team, wrong in ((third, code), (third, "AAAAA-BBBBB"), (make_team(currency="USD"), code)):
        with pytest.raises(NotFound):
            grants.redeem(actor=payer(team), team=team, code=wrong)
    with pytest.raises(NotPermitted):
        grants.redeem(actor=payer(first), team=third, code=code)
    assert [wallet_of(team).balance for team in (first, second, third)] == [20, 20, 0]
    assert CreditGrant.objects.first().expires_at > db_now() + timedelta(days=29)
    assert total(AccountKind.VOUCHERS) == -40


@pytest.mark.parametrize("worth", ["0", "-1", "NaN", "0.005", "1e12"])
def test_a_voucher_is_worth_what_can_be_paid(worth):
    with pytest.raises(Invalid):
        grants.create_voucher(actor=SYSTEM, new=NewVoucher("x", "EUR", Decimal(worth)))


def test_a_voucher_ends():
    ended = NewVoucher("x", "EUR", Decimal(1), valid_until=START)
    _voucher, code = grants.create_voucher(actor=SYSTEM, new=ended)
    team = make_team()
    with pytest.raises(NotFound):
        grants.redeem(actor=payer(team), team=team, code=code)


def test_a_monthly_fee_is_charged_once_a_month_with_its_credit(team):
    new = NewFee("Base", FeePeriod.MONTH, Decimal(9), date(2026, 1, 20), included=Decimal(4))
    fee = fees.add_fee(actor=SYSTEM, team=team, new=new)
    once = fees.add_fee(
        actor=SYSTEM, team=team, new=NewFee("Set-up", FeePeriod.ONCE, Decimal(5), date(2026, 2, 3))
    )
    now = datetime(2026, 3, 1, 0, 20, tzinfo=UTC)
    assert fees.charge_due(now=now) == 4
    assert fees.charge_due(now=now) == 0
    fees.end_fee(actor=SYSTEM, fee=fee, on=date(2026, 3, 31))
    assert fees.charge_due(now=now + timedelta(days=90)) == 0
    starts = RatedUsage.objects.filter(resource_id="Base").values_list("started_at", flat=True)
    assert [at.date() for at in starts] == [date(2026, 1, 20), date(2026, 2, 1), date(2026, 3, 1)]
    assert RatedUsage.objects.get(resource_id=once.name).unit == "once"
    assert Transaction.objects.filter(kind="fee").count() == 4
    assert wallet_of(team).balance == 100 - 32 + 12
    assert sound() == set()


def test_a_fee_that_cannot_be_paid_is_uncollected():
    team = make_team("3")
    fees.add_fee(actor=SYSTEM, team=team, new=NewFee("Base", FeePeriod.MONTH, Decimal(9), date(2026, 3, 1)))
    fees.charge_due(now=START)
    assert (wallet_of(team).balance, total(AccountKind.UNCOLLECTED)) == (0, -6)


@pytest.mark.parametrize(
    "change", [{"amount": Decimal(-1)}, {"amount": Decimal("0.001")}, {"ends_on": date(2025, 1, 1)}]
)
def test_a_fee_that_makes_no_sense_is_refused(team, change):
    about = {"name": "x", "period": FeePeriod.MONTH, "amount": Decimal(1), "starts_on": date(2026, 1, 1)}
    with pytest.raises(Invalid):
        fees.add_fee(actor=SYSTEM, team=team, new=NewFee(**about | change))
    with pytest.raises(Invalid):
        fees.add_commitment(actor=SYSTEM, team=team, new=NewCommitment("x", Decimal(0), date(2026, 1, 1)))


def test_what_is_missing_from_a_commitment_is_charged_after_the_month(team):
    make_price("type:small", "10")
    new = NewCommitment(
        "Reserved", Decimal(62), date(2026, 2, 15), products="type:", ends_on=date(2026, 5, 1)
    )
    fees.add_commitment(actor=SYSTEM, team=team, new=new)
    use(team, 3)
    assert fees.charge_due(now=datetime(2026, 4, 1, 0, 5, tzinfo=UTC)) == 1
    assert fees.charge_due(now=datetime(2026, 4, 1, 0, 15, tzinfo=UTC)) == 1
    assert fees.charge_due(now=datetime(2026, 4, 2, tzinfo=UTC)) == 0
    charged = dict(RatedUsage.objects.filter(product="commitment").values_list("started_at__month", "amount"))
    assert charged == {2: Decimal(31), 3: Decimal(32)}
    assert fees.charge_due(now=datetime(2026, 8, 1, 1, tzinfo=UTC)) == 1
    assert total(AccountKind.UNCOLLECTED) == -(30 + 31 + 32 + 62 - 100)
    assert sound() == set()


def test_a_commitment_that_ends_is_settled_by_its_days_and_one_to_come_never(team):
    today = db_now().date()
    month = today.replace(day=1)
    running = NewCommitment("Running", Decimal(310), month)
    coming = NewCommitment("Coming", Decimal(500), today + timedelta(days=40))
    made = [fees.add_commitment(actor=SYSTEM, team=team, new=new) for new in (running, coming)]
    for commitment in made:
        for _again in range(2):
            fees.end_commitment(actor=SYSTEM, commitment=commitment, on=month + timedelta(days=1))
    days = (fees.next_month(month) - month).days
    later = datetime.combine(fees.next_month(month), datetime.min.time(), UTC)
    assert fees.charge_due(now=later + timedelta(minutes=15)) == 1
    assert fees.charge_due(now=later + timedelta(days=99)) == 0
    line = RatedUsage.objects.get(product="commitment")
    assert line.amount == (Decimal(310) / days).quantize(line.amount)


def test_a_closed_team_is_charged_for_nothing_more(team):
    make_price("type:small", "10")
    machine = resource()
    begin(team, machine, Rate("type:small"))
    today = db_now().date()
    fee = fees.add_fee(actor=SYSTEM, team=team, new=NewFee("Base", FeePeriod.MONTH, Decimal(9), today))
    fees.add_commitment(actor=SYSTEM, team=team, new=NewCommitment("All", Decimal(5), today))
    with pytest.raises(Conflict) as refusal:
        close_team(actor=SYSTEM, team=team)
    assert refusal.value.reason == "team_in_use"
    charging.end(resource_id=machine, now=after(hours=1))
    close_team(actor=SYSTEM, team=team)
    fee.refresh_from_db()
    assert fee.ends_on == today
    assert not Commitment.objects.filter(ends_on=None).exists()
