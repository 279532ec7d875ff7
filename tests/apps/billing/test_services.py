"""Prices, wallets and past usage: what staff may do, and what is refused."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from apps.audit.models import Record
from apps.billing.errors import NoHeadroom, NoPrice, PriceConflict, RepeatedReference
from apps.billing.models import Hold, PriceVersion, Transaction, UsageDay, UsageInterval
from apps.billing.selectors import ledger, prices, proofs, usage
from apps.billing.selectors import wallets as reading
from apps.billing.services import charging, history, wallets
from apps.billing.services import prices as pricing
from apps.billing.specs import Rate
from apps.core.actor import SYSTEM, Actor, team_scope
from apps.core.clock import db_now
from apps.core.errors import Conflict, Invalid, NotFound, NotPermitted
from apps.core.permissions import GRANTS, Role
from apps.operations.models import Event
from tests.factories.billing import START, after, begin, make_price, make_team, resource, wallet_of

pytestmark = pytest.mark.django_db
MACHINE = Rate("type:small")


def member(team, role=Role.TEAM_ADMIN):
    return Actor("a member", {team_scope(team.pk): GRANTS[role]}, kind="user")


def test_a_price_change_is_scheduled_follows_on_and_can_be_withdrawn():
    first = pricing.set_price(actor=SYSTEM, product="disk", currency="EUR", unit_price=Decimal("0.0001"))
    later = db_now() + timedelta(days=3)
    second = pricing.set_price(
        actor=SYSTEM, product="disk", currency="EUR", unit_price=Decimal("0.0002"), valid_from=later
    )
    first.refresh_from_db()
    assert (first.valid_until, second.previous_until) == (later, later)
    with pytest.raises(PriceConflict):
        pricing.set_price(actor=SYSTEM, product="disk", currency="EUR", unit_price=Decimal(1))
    pricing.withdraw_price(actor=SYSTEM, version=second)
    first.refresh_from_db()
    assert first.valid_until is None
    with pytest.raises(PriceConflict):
        pricing.withdraw_price(actor=SYSTEM, version=first)
    third = pricing.set_price(actor=SYSTEM, product="disk", currency="EUR", unit_price=Decimal(1))
    assert third.valid_from > first.valid_from
    assert list(Record.objects.order_by("pk").values_list("action", flat=True)) == [
        "price.set",
        "price.set",
        "price.withdrawn",
        "price.set",
    ]


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("product", {"product": "Disk Space"}),
        ("product", {"product": "type:"}),
        ("currency", {"currency": "euro"}),
        ("unit_price", {"unit_price": Decimal(-1)}),
        ("unit_price", {"unit_price": Decimal("NaN")}),
        ("unit_price", {"unit_price": Decimal("1e-13")}),
        ("unit_price", {"unit_price": Decimal("1e7")}),
        ("valid_from", {"valid_from": datetime(2020, 1, 1, tzinfo=UTC)}),
    ],
)
def test_a_price_that_makes_no_sense_is_refused(field, change):
    make_price("disk", "1")
    wanted = {"product": "disk", "currency": "EUR", "unit_price": Decimal(2)} | change
    with pytest.raises(Invalid) as refusal:
        pricing.set_price(actor=SYSTEM, **wanted)
    assert refusal.value.field == field
    assert PriceVersion.objects.count() == 1


def test_only_staff_with_the_permission_change_prices_or_fill_wallets():
    team = make_team()
    for actor in (member(team), Actor("an operator", {}, kind="user")):
        with pytest.raises(NotPermitted):
            wallets.top_up(actor=actor, team=team, amount=Decimal(1), reason="x")
        with pytest.raises(NotPermitted):
            wallets.set_credit_limit(actor=actor, team=team, amount=Decimal(1))
        with pytest.raises(NotPermitted):
            pricing.set_price(actor=actor, product="disk", currency="EUR", unit_price=Decimal(1))
    assert wallet_of(team).balance == 0


def test_a_top_up_is_booked_once_per_reference():
    team = make_team()
    first = wallets.top_up(actor=SYSTEM, team=team, amount=Decimal("12.34"), reason="wire", reference="W-1")
    again = wallets.top_up(actor=SYSTEM, team=team, amount=Decimal("12.34"), reason="wire", reference="W-1")
    assert (first.pk, wallet_of(team).balance) == (again.pk, Decimal("12.34"))
    with pytest.raises(RepeatedReference):
        wallets.top_up(actor=SYSTEM, team=team, amount=Decimal(12), reason="wire", reference="W-1")
    wallets.top_up(actor=SYSTEM, team=make_team(), amount=Decimal(3), reason="wire", reference="W-1")
    wallets.grant_credit(actor=SYSTEM, team=team, amount=Decimal(1), reason="sorry", reference="W-1")
    totals = {row.kind: row.balance for row in ledger.account_totals(SYSTEM)}
    assert totals == {"customer": Decimal("16.34"), "funding": Decimal("-15.34"), "grants": -1}
    assert Event.objects.filter(type="wallet.top_up", team_id=team.pk).count() == 1


@pytest.mark.parametrize("amount", ["0", "-1", "0.001", "NaN", "Infinity", "1e10"])
def test_an_amount_that_makes_no_sense_is_not_booked(amount):
    team = make_team()
    with pytest.raises(Invalid):
        wallets.top_up(actor=SYSTEM, team=team, amount=Decimal(amount), reason="x")
    assert Transaction.objects.count() == 0


def test_credit_extends_what_can_be_spent_and_is_not_taken_back_while_used():
    make_price("type:small", "6")
    team = make_team()
    with pytest.raises(NoHeadroom):
        charging.reserve(team_id=team.pk, resource_id=resource(), rates=[MACHINE], now=START)
    wallets.set_credit_limit(actor=SYSTEM, team=team, amount=Decimal(2))
    charging.reserve(team_id=team.pk, resource_id=resource(), rates=[MACHINE], now=START)
    with pytest.raises(Conflict):
        wallets.set_credit_limit(actor=SYSTEM, team=team, amount=Decimal("0.5"))


def test_a_team_pays_in_its_own_currency():
    make_price("type:small", "600", currency="JPY")
    team = make_team("1000", currency="JPY")
    quote = prices.quote([MACHINE], team_id=team.pk, at=START)
    assert (quote.currency, quote.hourly, quote.daily, quote.monthly) == ("JPY", 600, 14400, 438000)
    with pytest.raises(NoPrice):
        prices.quote([MACHINE], team_id=make_team().pk, at=START)
    with pytest.raises(Invalid):
        wallets.top_up(actor=SYSTEM, team=team, amount=Decimal("0.5"), reason="x")


def test_the_way_of_a_launch_takes_few_statements(django_assert_max_num_queries):
    make_price("type:small", "1")
    make_price("disk", "0.1")
    team, machine = make_team("10"), resource()
    with django_assert_max_num_queries(4):
        charging.reserve(team_id=team.pk, resource_id=machine, rates=[MACHINE], now=START)
    with django_assert_max_num_queries(6):
        begin(team, machine, MACHINE)  # one of them is the factory's
    with django_assert_max_num_queries(6):
        begin(team, machine, Rate("disk"), now=after(minutes=1))
    with django_assert_max_num_queries(6):
        charging.end(resource_id=machine, now=after(minutes=2))
    assert Hold.objects.count() == 0


def test_balance_burn_and_runway():
    make_price("type:small", "2")
    team = make_team("10")
    assert reading.balance(team.pk).runway is None
    begin(team, resource(), MACHINE)
    begin(team, resource(), Rate("type:small", Decimal(2)))
    now = reading.balance(team.pk)
    assert (now.burn, now.spendable, now.available, now.runway) == (6, 10, Decimal("9.5"), Decimal("1.67"))
    assert reading.runway(team.pk, extra=Decimal(4)) == 1
    assert [burn.hourly for burn in reading.running(member(team), team.pk)] == [4, 2]
    assert reading.running(member(make_team()), team.pk) == []
    with pytest.raises(NotFound):
        reading.find_wallet(actor=member(make_team()), team_id=team.pk)


def test_usage_adds_up_by_day_product_resource_and_workspace():
    make_price("type:small", "3.6")
    make_price("disk", "0.036")
    team, machine = make_team("100"), resource()
    begin(team, machine, MACHINE, Rate("disk", Decimal(10)))
    charging.end(resource_id=machine, now=after(hours=13))
    begin(team, resource(), MACHINE, now=after(hours=13))
    span = {"since": date(2026, 3, 1), "until": date(2026, 3, 3)}
    rows = usage.usage_days(member(team), team_id=team.pk, **span)
    assert [(row.key, row.amount) for row in usage.by_group(rows, "day")] == [
        ("2026-03-01", Decimal("47.52")),
        ("2026-03-02", Decimal("3.96")),
    ]
    assert [(row.key, row.seconds) for row in usage.by_group(rows, "product")] == [
        ("type:small", 46800),
        ("disk", 46800),
    ]
    assert [row.label for row in usage.by_group(rows, "resource")] == [f"machine {machine[-4:]}"]
    assert [row.label for row in usage.by_group(rows, "workspace")] == ["default"]
    series = usage.series(rows, **span)
    assert list(series.products) == ["type:small", "disk"]
    assert series.totals == [Decimal("47.52"), Decimal("3.96"), 0]
    assert usage.total(rows) == Decimal("51.48")
    assert usage.total(usage.usage_days(member(make_team()), team_id=team.pk, **span)) == 0
    assert [row.resource_name for row in usage.named(rows)] == [f"machine {machine[-4:]}"] * 4


def test_a_statement_shows_a_days_usage_as_one_line_with_the_balance_after_it():
    make_price("type:small", "3.6")
    team, machine = make_team(), resource()
    history.fund(actor=SYSTEM, team=team, amount=Decimal(100), at=START - timedelta(days=1), reason="wire")
    begin(team, machine, MACHINE)
    begin(team, machine, Rate("type:small", Decimal(2)), now=after(hours=1))
    charging.end(resource_id=machine, now=after(hours=2))
    lines = ledger.statement(
        actor=member(team), team_id=team.pk, since=date(2026, 2, 1), until=date(2026, 3, 1)
    )
    assert [(line.kind, line.amount, line.entries, line.balance) for line in lines] == [
        ("usage", Decimal("-10.8"), 2, Decimal("89.2")),
        ("top_up", 100, 1, 100),
    ]
    with pytest.raises(NotFound):
        ledger.statement(
            actor=member(make_team()), team_id=team.pk, since=date(2026, 2, 1), until=date(2026, 3, 1)
        )


def test_past_usage_goes_through_the_same_books():
    make_price("type:small", "1.5")
    make_price("disk", "0.001")
    now = after(days=30)
    team = make_team()
    history.fund(actor=SYSTEM, team=team, amount=Decimal(3000), at=START, reason="wire")
    workspace = team.workspaces.get().pk
    habits = [
        history.Habit("train", (MACHINE,), (Rate("disk", Decimal(50)),)),
        history.Habit("web", (MACHINE,), ()),
    ]
    pasts = history.invent_pasts(team_id=team.pk, workspace_id=workspace, habits=habits, now=now, days=10)
    runs = history.Past(
        resource(), "api-1", team.pk, workspace, (history.Stretch(after(days=20), (MACHINE,)),)
    )
    history.write_history(actor=SYSTEM, pasts=[*pasts, runs], now=now)
    assert UsageInterval.objects.count() > 40
    assert UsageDay.objects.values("day").distinct().count() >= 10
    assert [burn.name for burn in reading.running(SYSTEM, team.pk)] == ["api-1"]
    assert {f.name for f in proofs.verify() if not f.is_ok} <= {"holds_expired"}
    assert (
        pasts
        == history.invent_pasts(team_id=team.pk, workspace_id=workspace, habits=habits, now=now, days=10)
        or len(pasts) > 2
    )


def test_a_change_tells_how_many_running_resources_it_concerns():
    make_price("type:small", "1")
    make_price("disk", "1")
    team = make_team("100")
    begin(team, resource(), MACHINE, Rate("disk"))
    begin(team, resource(), MACHINE)
    assert prices.affected(actor=SYSTEM, product="type:small", currency="EUR") == 2
    assert prices.affected(actor=SYSTEM, product="disk", currency="EUR") == 1
    assert prices.affected(actor=SYSTEM, product="disk", currency="USD") == 0
