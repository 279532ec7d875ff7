"""Reserve, begin, end: what a resource costs its team, on PostgreSQL."""

from decimal import Decimal

import pytest

from apps.billing.errors import NoHeadroom, NoPrice
from apps.billing.models import Hold, Meter, Posting, UsageInterval
from apps.billing.services import charging
from apps.billing.specs import Rate
from tests.factories.billing import START, after, begin, make_price, make_team, resource, wallet_of

pytestmark = pytest.mark.django_db
MACHINE = Rate("type:small")


def test_a_launch_holds_ten_minutes_and_refuses_what_the_balance_does_not_cover():
    make_price("type:small", "6")
    team, first, second = make_team("1.50"), resource(), resource()
    quote = charging.reserve(team_id=team.pk, resource_id=first, rates=[MACHINE], now=START)
    assert (quote.hourly, quote.daily, quote.currency) == (6, 144, "EUR")
    assert (wallet_of(team).held, wallet_of(team).available) == (1, Decimal("0.5"))
    charging.reserve(team_id=team.pk, resource_id=first, rates=[MACHINE], now=START)
    assert wallet_of(team).held == 1
    with pytest.raises(NoHeadroom) as refusal:
        charging.reserve(team_id=team.pk, resource_id=second, rates=[MACHINE], now=START)
    assert refusal.value.context["available"] == "0.5"
    assert Hold.objects.count() == 1
    charging.end(resource_id=first, now=START)
    assert (wallet_of(team).held, Hold.objects.count()) == (0, 0)


def test_what_has_no_price_cannot_be_reserved():
    with pytest.raises(NoPrice):
        charging.reserve(team_id=make_team("5").pk, resource_id=resource(), rates=[MACHINE], now=START)


def test_a_machine_is_charged_from_running_to_gone_to_the_second():
    make_price("type:small", "3.6")
    make_price("disk", "0.36")
    team, machine = make_team("10"), resource()
    charging.reserve(team_id=team.pk, resource_id=machine, rates=[MACHINE], now=START)
    begin(team, machine, MACHINE, now=after(seconds=30))
    begin(team, machine, MACHINE, now=after(seconds=31))
    assert Hold.objects.get().amount == Decimal("0.3")
    begin(team, machine, Rate("disk", Decimal(2)), now=after(seconds=40))
    charging.end(resource_id=machine, now=after(seconds=55))
    charging.end(resource_id=machine, now=after(seconds=99))
    spans = [(i.started_at, i.ended_at, i.previous_end) for i in UsageInterval.objects.all()]
    assert spans == [
        (after(seconds=30), after(seconds=40), None),
        (after(seconds=40), after(seconds=55), after(seconds=40)),
    ]
    spent = Decimal("0.001") * 10 + Decimal("0.0002") * 15
    assert wallet_of(team).balance == 10 - spent
    assert wallet_of(team).held == 0
    assert Meter.objects.get().ended_at == after(seconds=55)
    assert sum(Posting.objects.values_list("amount", flat=True)) == 0
