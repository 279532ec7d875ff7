"""Quotas: exact counters, tightest level, refusals that explain."""

from dataclasses import replace

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.core.actor import SYSTEM
from apps.core.errors import Conflict, Invalid, NotPermitted
from apps.core.ids import new_id
from apps.policies import selectors, services
from apps.policies.errors import PolicyInUse, PolicyRefused, QuotaExceeded
from apps.policies.models import Assignment, QuotaUsage, ResourcePolicy
from apps.policies.selectors import quota_gates
from apps.policies.services.policies import check_limits
from apps.policies.specs import Demand, Limit, Limits
from apps.teams.models import Team
from tests.factories.teams import TeamFactory, actor_of

REGION = new_id("reg")
GROUP = new_id("grp")
ONE = Demand(REGION, vcpus=4, memory_mib=1024, disk_gib=10, instances=1, gpu_model="h100", gpus=2)


def limited(team: Team, *lines: Limit) -> ResourcePolicy:
    policy = services.create_policy(actor=SYSTEM, kind="resource", slug=f"p-{team.slug}", name="Tight")
    services.set_limits(actor=SYSTEM, policy=policy, limits=lines)
    services.assign_policy(actor=SYSTEM, team=team, kind="resource", policy_id=policy.pk)
    return policy


def line(level: str, metric: str, maximum: int | None, target: str = "") -> Limit:
    return Limit(level, target, metric, "restricted" if maximum is not None else "unlimited", maximum)


def used(team: Team) -> dict[tuple[str, str], int]:
    return {(row.level, row.metric): row.used for row in QuotaUsage.objects.filter(team=team)}


@pytest.mark.django_db
def test_a_new_team_has_one_default_policy_of_each_kind() -> None:
    assignment = Assignment.objects.get(team=TeamFactory())
    kinds = ("resource", "pricing", "service", "instance_type", "image")
    assert all(getattr(assignment, kind).is_default for kind in kinds)
    with pytest.raises(Exception, match="Cannot delete"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM policies_assignment")


@pytest.mark.django_db
def test_consume_counts_on_every_level_and_free_gives_back() -> None:
    team = TeamFactory()
    services.consume(team_id=team.pk, demand=ONE)
    services.consume(team_id=team.pk, demand=replace(ONE, group_id=GROUP))
    assert used(team)["global", "gpu:h100"] == used(team)["region", "gpu:h100"] == 4
    assert used(team)["group", "vcpus"] == 4
    services.free(team_id=team.pk, demand=replace(ONE, group_id=GROUP))
    services.free(team_id=team.pk, demand=ONE)
    assert set(used(team).values()) == {0}


@pytest.mark.django_db
@pytest.mark.parametrize("level", ["global", "region"])
def test_the_tightest_level_refuses_and_says_what_is_left(level: str) -> None:
    team = TeamFactory()
    limited(team, line(level, "gpu:h100", 3))
    services.consume(team_id=team.pk, demand=ONE)
    with pytest.raises(QuotaExceeded) as refusal, transaction.atomic():
        services.consume(team_id=team.pk, demand=ONE)
    gate = next(one for one in refusal.value.context["gates"] if not one["ok"])
    assert (gate["code"], gate["asked"], gate["left"]) == ("quota.gpu:h100", "2", "1")
    assert used(team)["global", "vcpus"] == 4


@pytest.mark.django_db
def test_no_access_refuses_the_first_already() -> None:
    team = TeamFactory()
    limited(team, Limit("region", REGION, "gpu:*", "none"))
    with pytest.raises(QuotaExceeded), transaction.atomic():
        services.consume(team_id=team.pk, demand=ONE)
    services.consume(team_id=team.pk, demand=replace(ONE, region_id=new_id("reg")))


@pytest.mark.django_db
def test_lowering_a_limit_leaves_what_is_used_and_refuses_more() -> None:
    team = TeamFactory()
    policy = limited(team, line("global", "instances", 5))
    services.consume(team_id=team.pk, demand=ONE)
    services.set_limits(actor=SYSTEM, policy=policy, limits=[line("global", "instances", 1)])
    with pytest.raises(QuotaExceeded), transaction.atomic():
        services.consume(team_id=team.pk, demand=ONE)
    services.free(team_id=team.pk, demand=ONE)
    services.consume(team_id=team.pk, demand=ONE)


@pytest.mark.django_db
def test_check_explains_types_images_and_quotas() -> None:
    team = TeamFactory()
    policy = services.create_policy(actor=SYSTEM, kind="instance_type", slug="small", name="Small")
    services.set_choice(actor=SYSTEM, policy=policy, is_open=False, slugs=["cpu-2"])
    services.assign_policy(actor=SYSTEM, team=team, kind="instance_type", policy_id=policy.pk)
    gates = selectors.explain_gates(
        selectors.rules_of(team.pk), demand=ONE, type_slug="h100-1", image_slug="debian"
    )
    assert {gate.code: gate.ok for gate in gates} == {
        "type_policy": False, "image_policy": True, "quota.instances": True, "quota.vcpus": True,
        "quota.memory_mib": True, "quota.disk_gib": True, "quota.gpu:h100": True,
    }  # fmt: skip
    with pytest.raises(PolicyRefused):
        services.check(team_id=team.pk, demand=ONE, type_slug="h100-1")
    services.check(team_id=team.pk, demand=ONE, type_slug="cpu-2")


@pytest.mark.django_db
def test_policies_are_managed_by_those_who_may_and_never_lost() -> None:
    team = TeamFactory()
    member = actor_of(team)
    with pytest.raises(NotPermitted):
        services.create_policy(actor=member, kind="image", slug="x", name="X")
    policy = limited(team, line("global", "instances", 5))
    with pytest.raises(PolicyInUse):
        services.delete_policy(actor=SYSTEM, policy=policy)
    with pytest.raises(PolicyInUse):
        services.delete_policy(actor=SYSTEM, policy=ResourcePolicy.objects.get(is_default=True))
    with pytest.raises(Conflict):
        services.create_policy(actor=SYSTEM, kind="resource", slug=policy.slug, name="Twin")


@pytest.mark.django_db
def test_the_database_keeps_counters_and_limits_sound() -> None:
    team = TeamFactory()
    services.consume(team_id=team.pk, demand=ONE)
    for statement in (
        "UPDATE policies_quotausage SET used = -1",
        "UPDATE policies_resourcelimit SET maximum = NULL WHERE access = 'restricted'",
        "UPDATE policies_imagepolicy SET is_default = true; INSERT INTO policies_imagepolicy"
        " (id, name, slug, description, is_default, is_open, slugs)"
        " VALUES (gen_random_uuid(), 'x', 'x', '', true, true, '{}')",
    ):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


@pytest.mark.parametrize(
    "lines",
    [
        [line("global", "vcpus", 4), line("region", "vcpus", 5)],
        [line("global", "vcpus", 4), line("region", "vcpus", None)],
        [line("region", "gpu:*", 1), line("group", "gpu:*", 2)],
        [line("global", "vcpus", 4), line("global", "vcpus", 5)],
        [Limit("global", "", "horses", "none")],
        [Limit("global", "", "vcpus", "restricted")],
        [Limit("global", REGION, "vcpus", "none")],
        [line("global", "vcpus", -1)],
    ],
)
def test_limits_that_make_no_sense_are_refused(lines: list[Limit]) -> None:
    with pytest.raises(Invalid):
        check_limits(lines)


maxima = st.one_of(st.none(), st.integers(0, 20))


@settings(derandomize=True, deadline=None, database=None)
@given(maxima, maxima, st.integers(0, 20), st.integers(1, 20))
def test_a_gate_is_open_exactly_when_every_level_has_room(
    everywhere: int | None, here: int | None, in_use: int, asked: int
) -> None:
    limits = Limits.of([line("global", "vcpus", everywhere), line("region", "vcpus", here)])
    taken = {("global", "", "vcpus"): in_use, ("region", REGION, "vcpus"): in_use}
    (gate,) = quota_gates(limits=limits, used=taken, demand=Demand(REGION, vcpus=asked))
    bounds = [one for one in (everywhere, here) if one is not None]
    assert gate.ok == all(in_use + asked <= one for one in bounds)
