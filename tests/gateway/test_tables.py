"""What the steward reads for its workers."""

from decimal import Decimal

import pytest

from apps.billing.services import budgeting
from apps.billing.services.budgeting import BudgetWish
from apps.core.actor import SYSTEM
from apps.gateway.steward import tables
from apps.inference.models import Replica
from apps.regions.models import Cluster
from tests.factories.supply import make_region
from tests.factories.teams import TeamFactory, key_of, member_of, workspace_of
from tests.gateway.stage import make_endpoint

pytestmark = pytest.mark.django_db


def apart() -> set[str]:
    """The keys whose money is leased apart."""
    return {row.id for row in tables.read_keys({}).values() if row.is_apart}


def test_keys_that_a_budget_narrower_than_the_teams_limits_have_a_purse_of_their_own():
    team = TeamFactory()
    key_of(TeamFactory(), "inference:use")
    person = member_of(team)
    mine, theirs = key_of(team, "inference:use").key, key_of(team, "inference:use", user=person).key

    def limit(level: str, subject: str = "", action: str = "block") -> set[str]:
        """Whose purse is apart while this budget is in force."""
        wish = BudgetWish("Lab", level, "month", Decimal(1), action, subject)
        budget = budgeting.set_budget(actor=SYSTEM, team=team, wish=wish)
        found = apart()
        budgeting.remove_budget(actor=SYSTEM, budget_id=budget.pk)
        return found

    assert limit("team") == set()
    assert limit("key", mine.pk) == {mine.pk}
    assert limit("user", person.pk) == {theirs.pk}
    assert limit("workspace", workspace_of(team).pk) == {mine.pk, theirs.pk}
    assert limit("key", mine.pk, action="notify") == set()
    assert apart() == set()


def test_an_engine_that_comes_or_goes_is_a_change():
    region, team = make_region(), TeamFactory()
    endpoint, revision = make_endpoint(team, region, "small")
    cluster = Cluster.objects.create(region=region, name="Simulated", slug="sim", kind="sim", config={})
    seen = [tables.newest_change()]
    replica = Replica.objects.create(
        endpoint=endpoint, revision=revision, region=region, team_id=team.pk, cluster=cluster, kind="sim",
        state="ready", url="http://127.0.0.1:1", due_at=None,
    )  # fmt: skip
    seen.append(tables.newest_change())
    Replica.objects.filter(pk=replica.pk).update(last_seen_at=replica.created_at)
    assert tables.newest_change() == seen[-1]
    Replica.objects.filter(pk=replica.pk).update(state="unhealthy")
    seen.append(tables.newest_change())
    assert seen[0] == seen[2] != seen[1]
