"""A pricing policy brings its price list and its monthly fee, to the team it is given and when it changes."""

from datetime import UTC, timedelta
from decimal import Decimal

import pytest

from apps.billing.models import Fee, PriceListChoice, RatedUsage
from apps.billing.services import fees, lists
from apps.billing.services.fees import next_month
from apps.core.actor import SYSTEM
from apps.core.clock import db_now
from apps.core.errors import Invalid, NotPermitted
from apps.core.permissions import Role
from apps.policies import services
from apps.policies.models import PricingPolicy
from apps.teams.models import Team
from apps.teams.selectors.actors import actor_for_user
from apps.users.services import grant_staff_role
from tests.factories.teams import TeamFactory
from tests.factories.users import UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def partner() -> PricingPolicy:
    lists.create_list(actor=SYSTEM, slug="partner", name="Partner")
    policy = services.create_policy(actor=SYSTEM, kind="pricing", slug="partner", name="Partners")
    return services.set_pricing(
        actor=SYSTEM, policy=policy, price_list="partner", base_fee=Decimal(20), included_amount=Decimal(5)
    )


def give(team: Team, policy: PricingPolicy) -> None:
    services.assign_policy(actor=SYSTEM, team=team, kind="pricing", policy_id=policy.pk)


def base_fees(team: Team) -> list[tuple[Decimal, bool]]:
    rows = Fee.objects.filter(team=team, is_base=True).order_by("id")
    return [(fee.amount, fee.ends_on is None) for fee in rows]


def test_a_policy_brings_its_list_and_fee_once(partner: PricingPolicy) -> None:
    team = TeamFactory()
    give(team, partner)
    give(team, partner)
    assert list(PriceListChoice.objects.filter(team=team).values_list("book", flat=True)) == ["partner"]
    assert base_fees(team) == [(20, True)]
    fees.charge_due()
    assert RatedUsage.objects.get(team=team, product="fee").amount == 20


def test_a_month_is_not_charged_twice_when_the_fee_changes(partner: PricingPolicy) -> None:
    team = TeamFactory()
    give(team, partner)
    fees.charge_due()
    services.set_pricing(
        actor=SYSTEM, policy=partner, price_list="partner", base_fee=Decimal(30), included_amount=Decimal(0)
    )
    assert base_fees(team) == [(20, False), (30, True)]
    fees.charge_due()
    assert RatedUsage.objects.filter(team=team, product="fee").count() == 1
    today = db_now().astimezone(UTC).date()
    assert Fee.objects.get(team=team, amount=30).starts_on == next_month(today)


def test_a_fee_that_was_never_due_is_never_charged(partner: PricingPolicy) -> None:
    team = TeamFactory()
    give(team, partner)
    give(team, PricingPolicy.objects.get(is_default=True))
    assert base_fees(team) == [(20, False)]
    fees.charge_due(now=db_now() + timedelta(days=40))
    assert not RatedUsage.objects.filter(team=team).exists()


def test_only_who_sets_prices_gives_another_price(partner: PricingPolicy) -> None:
    person = UserFactory()
    grant_staff_role(actor=SYSTEM, user=person, role=Role.OPERATOR)
    operator = actor_for_user(person)
    with pytest.raises(NotPermitted):
        services.assign_policy(actor=operator, team=TeamFactory(), kind="pricing", policy_id=partner.pk)


@pytest.mark.parametrize(
    ("book", "fee"), [("nowhere", "1"), ("partner", "-1"), ("partner", "0.001"), ("partner", "NaN")]
)
def test_terms_that_make_no_sense_are_refused(partner: PricingPolicy, book: str, fee: str) -> None:
    with pytest.raises(Invalid):
        services.set_pricing(
            actor=SYSTEM, policy=partner, price_list=book, base_fee=Decimal(fee), included_amount=Decimal(0)
        )
