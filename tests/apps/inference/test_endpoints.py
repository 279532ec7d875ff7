"""An endpoint's life: launch, growth, sleep, updates without a gap, canary, trouble, money, and the end."""

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
import redis
from django.conf import settings as django_settings
from django.db import IntegrityError, transaction

from apps.billing.errors import NoHeadroom
from apps.billing.models import Hold, Meter, MeterChange, Wallet
from apps.billing.selectors.tokens import price_table
from apps.billing.services import charging
from apps.billing.services.budgeting import BudgetWish, set_budget
from apps.billing.signals import headroom_lost
from apps.billing.specs import Rate
from apps.core import tenancy
from apps.core.actor import ANONYMOUS, SYSTEM
from apps.core.clock import db_now
from apps.core.errors import Conflict, Invalid, NotFound, NotPermitted
from apps.drivers.sim.world import Fault
from apps.inference import reconcilers
from apps.inference.errors import BadEndpoint, Busy, NameTaken, WrongState
from apps.inference.models import Endpoint, Replica, Revision
from apps.inference.reconcilers.steering import LOAD
from apps.inference.selectors import offers, reading, routes
from apps.inference.services import endpoints, fleet, replicas, rollouts
from apps.inference.specs import ScaleRules
from apps.nodes.selectors import occupants_of
from apps.nodes.services import add_node
from apps.nodes.specs import Notice
from apps.operations import services as operations
from apps.operations.models import Operation, OperationStep
from apps.policies.errors import QuotaExceeded
from apps.policies.models import QuotaUsage, ResourceLimit
from apps.regions.models import Region
from apps.registry.errors import InUse
from apps.registry.models import ModelVersion
from apps.registry.services import retire_version
from apps.registry.signals import users_asked, version_revoked
from apps.teams.models import Team
from apps.teams.services import close_team
from tests.apps.nodes.test_agents import Host, facts, sample
from tests.factories import inference as made
from tests.factories.billing import make_price
from tests.factories.inference import bring_about, make_stage, make_version, steer, work_off
from tests.factories.teams import actor_of, key_of, member_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def stage(tmp_path):
    return make_stage(tmp_path)


def operation_of(endpoint):
    return Operation.objects.filter(target_id=str(endpoint.pk)).latest("created_at", "id")


def live(endpoint):
    return [one for one in made.replicas(endpoint) if one.desired == "running" and not one.is_ended]


def route_of(endpoint):
    found = [one for one in routes.table() if one.endpoint_id == str(endpoint.pk)]
    return found[0] if found else None


# ------------------------------------------------------------------ launch


def test_a_team_launches_the_providers_model_which_it_may_only_read(stage):
    version = make_version()
    with tenancy.as_actor(stage.actor):
        endpoint = stage.launch(recipe=stage.recipe(version=str(version.pk)))
    assert Revision.objects.get(endpoint=endpoint).version_id == version.pk


def test_a_launch_ends_with_an_engine_that_the_gateway_can_route_to(stage):
    endpoint = stage.launch()
    assert endpoint.state == "deploying"
    assert route_of(endpoint).replicas == ()
    work_off(endpoint)
    (replica,) = made.replicas(endpoint)
    assert (endpoint.state, replica.state) == ("ready", "ready")
    route = route_of(endpoint)
    assert (route.names, route.team_id, route.metering) == ((endpoint.slug,), str(stage.team.pk), "time")
    assert route.digest == stage.version.digest
    (one,) = route.replicas
    assert (one.replica_id, one.url, one.weight) == (str(replica.pk), replica.url, routes.WEIGHT)
    assert one.api_key == replica.secret
    assert one.api_key not in replica.api_key
    operation = operation_of(endpoint)
    assert operation.state == "succeeded"
    steps = (
        OperationStep.objects.filter(operation=operation).order_by("position").values_list("name", "state")
    )
    assert list(steps) == [(name, "done") for name in ("accepted", "placed", "engine", "load", "route")]


def test_who_may_not_launch_is_refused_and_leaves_nothing(stage):
    with pytest.raises(NotPermitted):
        made.making.create_endpoint(
            actor=ANONYMOUS, team=stage.team, workspace=stage.workspace, spec=stage.spec()
        )
    with pytest.raises(NotPermitted):
        made.making.create_endpoint(actor=stage.actor, team=None, workspace=None, spec=stage.spec())
    assert not Endpoint.objects.exists()


def test_what_everybody_may_call_serves_the_providers_models_only(stage):
    of_team, asked = stage.recipe(), stage.spec()
    with pytest.raises(BadEndpoint) as refused:
        made.making.create_endpoint(actor=SYSTEM, team=None, workspace=None, spec=asked)
    assert refused.value.field == "version"
    endpoint = stage.ready(public=True)
    with pytest.raises(BadEndpoint):
        rollouts.update_endpoint(actor=SYSTEM, endpoint_id=str(endpoint.pk), recipe=of_team)
    with pytest.raises(BadEndpoint):
        rollouts.set_canary(actor=SYSTEM, endpoint_id=str(endpoint.pk), recipe=of_team, weight=10)


def test_names_are_taken_once_per_team_and_once_for_all_by_the_provider(stage, tmp_path):
    stage.launch(slug="chat")
    with pytest.raises(NameTaken):
        stage.launch(slug="chat")
    stage.launch(slug="chat", public=True)
    with pytest.raises(NameTaken):
        stage.launch(slug="chat", public=True)


def test_a_team_has_as_many_endpoints_as_its_policy_allows(stage):
    """Counted once each, in both places, until it is proven gone; the refusal says what is left."""
    limits = ResourceLimit.objects.filter(policy__is_default=True, metric="endpoints")
    limits.update(maximum=1)
    first = stage.ready()
    with pytest.raises(QuotaExceeded) as refused:
        stage.launch()
    assert "1 endpoints asked, 0 left" in refused.value.message
    assert Endpoint.objects.count() == 1
    endpoints.delete_endpoint(actor=stage.actor, endpoint_id=str(first.pk))
    with pytest.raises(QuotaExceeded):
        stage.launch()
    assert work_off(first, seconds=10).state == "deleted"
    assert set(QuotaUsage.objects.filter(metric="endpoints").values_list("used", flat=True)) == {0}
    assert stage.ready().state == "ready"


def test_what_does_not_exist_or_fit_is_refused_by_field(stage):
    for recipe, field in (
        ({"version": "mdv_nothing"}, "version"),
        ({"hardware": "quantum"}, "hardware"),
        ({"context_length": 999_999}, "context_length"),
    ):
        with pytest.raises((Invalid, BadEndpoint)) as refused:
            stage.launch(recipe=stage.recipe(**recipe))
        assert refused.value.field == field
    with pytest.raises(Invalid):
        stage.launch(region="atlantis")


def test_another_teams_model_and_endpoint_are_nobodys_business(stage, tmp_path):
    other = make_stage(tmp_path / "other")
    with pytest.raises(Invalid):
        stage.launch(recipe=stage.recipe(version=str(other.version.pk)))
    endpoint = other.launch()
    with pytest.raises(NotFound):
        endpoints.delete_endpoint(actor=stage.actor, endpoint_id=str(endpoint.pk))
    assert endpoint not in reading.list_endpoints(actor=stage.actor)


def test_a_version_that_is_revoked_while_it_is_chosen_is_not_served(stage):
    endpoint = stage.ready()
    offer = offers.find(
        actor=stage.actor, region=stage.region, recipe=stage.recipe(), team_id=str(stage.team.pk)
    )
    ModelVersion.objects.filter(pk=stage.version.pk).update(state="revoked")
    with pytest.raises(Invalid) as refused, transaction.atomic():
        made.making.revise(endpoint=endpoint, offer=offer, by="test")
    assert refused.value.field == "version"


def test_a_refused_launch_is_tried_again_ever_later_and_then_given_up(stage):
    stage.driver.world.inject(Fault.REFUSED, method="launch_engine", error="no_capacity", times=None)
    endpoint = stage.launch()
    for _attempt in range(fleet.plans.GIVE_UP_AFTER):
        for replica in live(endpoint):
            bring_about(replica)
            bring_about(replica)
        Endpoint.objects.filter(pk=endpoint.pk).update(retry_at=None)
        steer(endpoint)
    assert endpoint.state == "degraded"
    operation = operation_of(endpoint)
    assert (operation.state, operation.error_code) == ("failed", "replicas_failed")
    assert operation.error_message == "The cloud refused."
    stage.driver.world.clear()
    assert work_off(endpoint).state == "ready"


def test_a_model_that_cannot_be_loaded_says_so(stage):
    stage.driver.world.inject(Fault.BOOT_FAILURE, method="launch_engine", times=1)
    endpoint = stage.launch()
    (replica,) = made.replicas(endpoint)
    bring_about(replica)
    bring_about(replica)
    assert (replica.state, replica.message) == ("failed", "The engine cannot load this model.")
    assert replica.released_at is not None
    steer(endpoint)
    assert endpoint.message == replica.message
    assert endpoint.retry_at is not None


def test_a_launch_that_is_cancelled_is_undone(stage):
    endpoint = stage.launch()
    operations.cancel_operation(actor=stage.actor, operation_id=str(endpoint.operation_id))
    assert work_off(endpoint).state == "deleted"
    assert stage.driver.engine_names() == []


# ------------------------------------------------------------------ more, fewer, none


def report(endpoint, **load):
    client = redis.Redis.from_url(django_settings.REDIS_URL)
    said = {
        "outstanding": 0,
        "queued": 0,
        "tokens_per_s": 0,
        "last_request_at": 0,
        "at": db_now().timestamp(),
    }
    client.hset(LOAD.format(endpoint=endpoint.pk), "gateway-1", json.dumps({**said, **load}))
    client.close()


def test_it_follows_what_the_gateway_reports(stage):
    endpoint = stage.ready(scale={"least": 1, "most": 4, "target": 2})
    report(endpoint, outstanding=5, queued=1)
    assert steer(endpoint).wanted == 3
    work_off(endpoint)
    assert len(route_of(endpoint).replicas) == 3
    report(endpoint, outstanding=1)
    steer(endpoint)
    Endpoint.objects.filter(pk=endpoint.pk).update(low_since=db_now() - timedelta(minutes=10))
    assert steer(endpoint).wanted == 1
    assert len(route_of(endpoint).replicas) == 1


def test_it_sleeps_when_idle_and_a_request_wakes_it(stage):
    endpoint = stage.ready(scale={"least": 0, "most": 2, "idle_seconds": 60})
    Endpoint.objects.filter(pk=endpoint.pk).update(active_at=db_now() - timedelta(minutes=5))
    report(endpoint)
    work_off(endpoint, seconds=10)
    assert (endpoint.state, endpoint.wanted) == ("scaled_to_zero", 0)
    assert stage.driver.engine_names() == []
    assert route_of(endpoint).can_wake
    assert endpoints.wake(endpoint_id=str(endpoint.pk))
    assert not endpoints.wake(endpoint_id=str(endpoint.pk))
    assert work_off(endpoint).state == "ready"
    assert len(route_of(endpoint).replicas) == 1


def test_new_rules_hold_at_once(stage):
    endpoint = stage.ready()
    rules = ScaleRules(least=2, most=3)
    endpoints.set_scale(actor=stage.actor, endpoint_id=str(endpoint.pk), scale=rules)
    assert len(route_of(work_off(endpoint)).replicas) == 2
    viewer = actor_of(stage.team, member_of(stage.team, "team_viewer"))
    with pytest.raises(NotPermitted):
        endpoints.set_scale(actor=viewer, endpoint_id=str(endpoint.pk), scale=rules)


# ------------------------------------------------------------------ something else


def test_an_update_never_leaves_fewer_ready_than_wanted(stage):
    endpoint = stage.ready(scale={"least": 3, "most": 3})
    old = str(endpoint.revision_id)
    newer = make_version(stage.team, model=stage.version.model)
    rollouts.update_endpoint(
        actor=stage.actor, endpoint_id=str(endpoint.pk), recipe=stage.recipe(version=str(newer.pk))
    )
    for number in range(30):
        steer(endpoint)
        assert len(route_of(endpoint).replicas) >= 3
        for replica in made.replicas(endpoint):
            if replica.released_at is None and (replica.state != "ready" or replica.desired == "gone"):
                bring_about(replica, seconds=10 * number)
                assert len(route_of(endpoint).replicas) >= 3
        if endpoint.operation_id is None:
            break
    assert operation_of(endpoint).state == "succeeded"
    assert {one.digest for one in route_of(endpoint).replicas} == {newer.digest}
    assert not Replica.objects.filter(revision_id=old, released_at=None).exists()
    rollouts.roll_back(actor=stage.actor, endpoint_id=str(endpoint.pk))
    work_off(endpoint, passes=40, seconds=10)
    assert {one.digest for one in route_of(endpoint).replicas} == {stage.version.digest}


def test_an_update_that_does_not_come_up_goes_back_by_itself(stage):
    endpoint = stage.ready()
    before = endpoint.revision_id
    stage.driver.world.inject(Fault.BOOT_FAILURE, method="launch_engine", times=None)
    newer = make_version(stage.team, model=stage.version.model)
    rollouts.update_endpoint(
        actor=stage.actor, endpoint_id=str(endpoint.pk), recipe=stage.recipe(version=str(newer.pk))
    )
    for _attempt in range(12):
        Endpoint.objects.filter(pk=endpoint.pk).update(retry_at=None)
        work_off(endpoint, passes=2)
    operation = operation_of(endpoint)
    assert operation.state == "failed"
    assert "back" in operation.undone
    assert endpoint.revision_id == before
    assert endpoint.state == "ready"
    assert len(route_of(endpoint).replicas) == 1


def test_a_canary_gets_its_share_and_can_take_over_or_go(stage):
    endpoint = stage.ready(scale={"least": 2, "most": 2})
    newer = make_version(stage.team, model=stage.version.model)
    recipe = stage.recipe(version=str(newer.pk))
    rollouts.set_canary(actor=stage.actor, endpoint_id=str(endpoint.pk), recipe=recipe, weight=20)
    with pytest.raises(Busy):
        rollouts.set_canary(actor=stage.actor, endpoint_id=str(endpoint.pk), recipe=recipe, weight=20)
    work_off(endpoint, seconds=10)
    weights = {one.digest: one.weight for one in route_of(endpoint).replicas}
    assert weights == {stage.version.digest: 800, newer.digest: 200}
    rollouts.weigh_canary(actor=stage.actor, endpoint_id=str(endpoint.pk), weight=50)
    assert {one.weight for one in route_of(endpoint).replicas} == {500}
    rollouts.promote_canary(actor=stage.actor, endpoint_id=str(endpoint.pk))
    work_off(endpoint, passes=30, seconds=10)
    assert {one.digest for one in route_of(endpoint).replicas} == {newer.digest}
    assert endpoint.canary_id is None


def test_a_revoked_version_drains_and_is_not_routed_to(stage):
    endpoint = stage.ready()
    assert [said for _r, said in users_asked.send(None, version_id=str(stage.version.pk))] == [
        [endpoint.slug]
    ]
    version_revoked.send(None, version_id=str(stage.version.pk))
    endpoints.mark_revoked(version_id=str(stage.version.pk))
    assert route_of(endpoint).replicas == ()
    assert not route_of(endpoint).can_wake
    work_off(endpoint, seconds=10)
    assert stage.driver.engine_names() == []
    assert endpoint.state == "degraded"
    assert "revoked" in endpoint.message


def test_what_an_update_may_go_back_to_is_kept_and_what_was_deleted_is_not_gone_back_to(stage):
    endpoint = stage.ready()
    newer = make_version(stage.team, model=stage.version.model)
    recipe = stage.recipe(version=str(newer.pk))
    rollouts.update_endpoint(actor=stage.actor, endpoint_id=str(endpoint.pk), recipe=recipe)
    with pytest.raises(InUse):
        retire_version(actor=stage.actor, version=stage.version)
    work_off(endpoint, passes=30, seconds=10)
    assert operation_of(endpoint).state == "succeeded"
    retire_version(actor=stage.actor, version=stage.version)
    with pytest.raises(WrongState):
        rollouts.roll_back(actor=stage.actor, endpoint_id=str(endpoint.pk))


def test_what_is_being_deleted_does_not_come_back(stage):
    endpoint = stage.ready()
    Endpoint.objects.filter(pk=endpoint.pk).update(previous=endpoint.revision_id)
    endpoints.delete_endpoint(actor=stage.actor, endpoint_id=str(endpoint.pk))
    with pytest.raises(WrongState):
        rollouts.roll_back(actor=stage.actor, endpoint_id=str(endpoint.pk))
    assert operation_of(endpoint).kind == "endpoint.delete"
    work_off(endpoint, seconds=10)
    assert (endpoint.state, operation_of(endpoint).state) == ("deleted", "succeeded")


# ------------------------------------------------------------------ trouble


def test_a_silent_engine_is_taken_out_of_the_routes_and_comes_back(stage):
    endpoint = stage.ready()
    (replica,) = made.replicas(endpoint)
    stage.driver.set_engine(replica.engine_name, is_silent=1)
    reconcilers.watch_replicas()
    bring_about(replica, seconds=6)
    assert replica.state == "unhealthy"
    assert route_of(endpoint).replicas == ()
    assert steer(endpoint).state == "degraded"
    stage.driver.set_engine(replica.engine_name, is_silent=0)
    reconcilers.watch_replicas()
    bring_about(replica)
    assert replica.state == "ready"
    assert steer(endpoint).state == "ready"


def test_an_engine_that_ended_is_replaced(stage):
    endpoint = stage.ready()
    (first,) = made.replicas(endpoint)
    stage.driver.set_engine(first.engine_name, exited=1, failure="Killed.")
    replicas.report_unhealthy(replica_id=str(first.pk), reason="connection refused")
    bring_about(first)
    assert (first.state, first.message) == ("failed", "Killed.")
    Endpoint.objects.filter(pk=endpoint.pk).update(retry_at=None)
    work_off(endpoint)
    assert endpoint.state == "ready"
    assert [one.engine_name for one in live(endpoint)] == stage.driver.engine_names()
    assert first.engine_name not in stage.driver.engine_names()


def test_a_spot_notice_brings_a_replacement_before_the_engine_goes(stage):
    endpoint = stage.ready()
    (first,) = made.replicas(endpoint)
    stage.driver.set_engine(first.engine_name, noticed=1, open=2)
    reconcilers.watch_replicas()
    bring_about(first)
    assert (first.state, first.desired) == ("draining", "gone")
    steer(endpoint)
    (second,) = live(endpoint)
    bring_about(second)
    assert second.state == "ready"
    assert bring_about(first, seconds=10).state == "draining"  # two requests are open
    stage.driver.set_engine(first.engine_name, open=0)
    bring_about(first, seconds=20)
    bring_about(first, seconds=21)
    assert first.state == "preempted"
    assert first.released_at is not None


def test_what_the_provider_took_back_is_preempted_and_replaced(stage):
    endpoint = stage.ready()
    (first,) = made.replicas(endpoint)
    stage.driver.set_engine(first.engine_name, reclaimed=1)
    bring_about(first)
    bring_about(first)
    assert first.state == "preempted"
    assert work_off(endpoint).state == "ready"


def test_a_drain_waits_for_open_requests_but_not_for_ever(stage):
    endpoint = stage.ready(drain_seconds=900)
    (replica,) = made.replicas(endpoint)
    stage.driver.set_engine(replica.engine_name, open=1)
    endpoints.delete_endpoint(actor=stage.actor, endpoint_id=str(endpoint.pk))
    steer(endpoint)
    assert bring_about(replica).state == "draining"
    assert route_of(endpoint) is None
    assert bring_about(replica, seconds=300).state == "draining"
    assert stage.driver.engine_names() == [replica.engine_name]
    bring_about(replica, seconds=901)
    assert bring_about(replica, seconds=902).state == "stopped"
    assert steer(endpoint).state == "deleted"
    assert operation_of(endpoint).state == "succeeded"


def test_in_a_frozen_region_nothing_is_touched(stage):
    endpoint = stage.launch()
    Region.objects.filter(pk=stage.region.pk).update(frozen_at=db_now())
    (replica,) = made.replicas(endpoint)
    assert bring_about(replica).state == "pending"
    assert stage.driver.engine_names() == []


# ------------------------------------------------------------------ money


def test_time_is_charged_from_readiness_to_the_proof_of_absence(stage):
    endpoint = stage.launch()
    (replica,) = made.replicas(endpoint)
    assert Hold.objects.filter(pk=str(replica.pk)).exists()
    assert not Meter.objects.filter(pk=str(replica.pk)).exists()
    work_off(endpoint)
    meter = Meter.objects.get(pk=str(replica.pk))
    assert meter.rates == [[stage.hardware.product, "1"]]
    replica.refresh_from_db()
    assert meter.started_at == replica.started_at
    endpoints.delete_endpoint(actor=stage.actor, endpoint_id=str(endpoint.pk))
    steer(endpoint)
    stage.driver.set_engine(replica.engine_name, open=1)
    bring_about(replica, seconds=5)
    assert Meter.objects.get(pk=str(replica.pk)).ended_at is None
    stage.driver.set_engine(replica.engine_name, open=0)
    bring_about(replica, seconds=10)
    bring_about(replica, seconds=11)
    assert replica.state == "stopped"
    meter.refresh_from_db()
    assert meter.ended_at == replica.released_at
    assert not Hold.objects.filter(pk=str(replica.pk)).exists()
    assert MeterChange.objects.filter(resource_id=str(replica.pk)).count() == 2


def test_a_launch_that_cannot_be_paid_is_refused_whole(tmp_path):
    stage = make_stage(tmp_path, balance="0.01")
    with pytest.raises(NoHeadroom):
        stage.launch()
    assert not Endpoint.objects.exists()
    assert not Replica.objects.exists()


def test_a_failed_launch_costs_nothing(stage):
    stage.driver.world.inject(Fault.BOOT_FAILURE, method="launch_engine", times=None)
    endpoint = stage.launch()
    for _attempt in range(4):
        work_off(endpoint, passes=2)
    assert not Meter.objects.exists()
    assert not Hold.objects.filter(pk__in=[str(one.pk) for one in made.replicas(endpoint)]).exists()


def test_without_money_it_rests_and_comes_back_with_it(stage):
    endpoint = stage.ready()
    (replica,) = made.replicas(endpoint)
    headroom_lost.send(Meter, resource_id=str(replica.pk), team_id=stage.team.pk, budget="Small")
    endpoint.refresh_from_db()
    assert "“Small” is used up" in endpoint.message
    hold_all_money(stage)
    work_off(endpoint, seconds=10)
    assert stage.driver.engine_names() == []
    Endpoint.objects.filter(pk=endpoint.pk).update(retry_at=None)
    steer(endpoint)
    assert not live(endpoint)
    assert "Add funds" in endpoint.message
    made.wallets.top_up(actor=SYSTEM, team=stage.team, amount=Decimal(100), reason="test")
    Endpoint.objects.filter(pk=endpoint.pk).update(retry_at=None)
    assert work_off(endpoint).state == "ready"


@pytest.mark.parametrize("level", ["team", "workspace", "user", "key"])
def test_budgets_of_whoever_launched_it_hold_for_all_that_it_grows_to(stage, level):
    """Ten cents are held for each replica; what a budget refuses keeps nothing else from being steered."""
    key = key_of(stage.team).key
    stage.actor = replace(stage.actor, key_id=str(key.pk))
    subject = {"workspace": stage.workspace.pk, "user": stage.actor.user_id, "key": key.pk}.get(level, "")
    wish = BudgetWish("Small", level, "month", Decimal("0.12"), "block", str(subject))
    set_budget(actor=SYSTEM, team=stage.team, wish=wish)
    endpoint = stage.ready()
    rules = ScaleRules(least=2, most=2)
    endpoints.set_scale(actor=stage.actor, endpoint_id=str(endpoint.pk), scale=rules)
    steer(endpoint)
    assert len(live(endpoint)) == 1
    assert "“Small”" in endpoint.message


def test_a_team_is_not_closed_while_it_has_endpoints_and_launches_none_when_it_is(stage):
    stage.launch()
    with pytest.raises(Conflict) as refusal:
        close_team(actor=SYSTEM, team=stage.team)
    assert refusal.value.reason == "team_in_use"
    Team.objects.filter(pk=stage.team.pk).update(state="closed")
    with pytest.raises(NoHeadroom):
        stage.launch()


def hold_all_money(stage):
    """Something else holds all that is left."""
    wallet = Wallet.objects.get(team_id=stage.team.pk)
    make_price("type:everything", str((wallet.balance - wallet.held) * 6))
    rates = [Rate("type:everything")]
    charging.reserve(team_id=stage.team.pk, resource_id="ins_all", rates=rates, now=db_now())


# ------------------------------------------------------------------ what the database refuses


def test_a_public_endpoint_is_the_providers_and_charged_by_token(stage):
    stage.version = make_version(None)
    endpoint = stage.ready(public=True)
    assert (endpoint.visibility, endpoint.metering, endpoint.team_id) == ("public", "tokens", None)
    assert endpoint in reading.list_callable(actor=stage.actor)
    assert endpoint not in reading.list_endpoints(actor=stage.actor)
    assert not Meter.objects.exists()
    with pytest.raises(IntegrityError), transaction.atomic():
        Endpoint.objects.filter(pk=endpoint.pk).update(metering="time")


def test_what_callers_pay_is_set_with_a_public_endpoint_and_with_no_other(stage):
    prices = {"currency": "EUR", "prices": {"input": Decimal("0.5"), "output": Decimal("1.5")}}
    with pytest.raises(BadEndpoint):
        stage.launch(**prices)
    endpoint = stage.launch(public=True, **prices)
    found = price_table(db_now()).of(stage.team.pk, endpoint.slug)
    assert (found.input, found.cached, found.output) == (Decimal("0.5"), Decimal("0.5"), Decimal("1.5"))


def test_a_replica_is_never_released_without_proof(stage):
    endpoint = stage.ready()
    rows = Replica.objects.filter(endpoint=endpoint)
    with pytest.raises(IntegrityError), transaction.atomic():
        rows.update(released_at=db_now())
    assert Revision.objects.filter(endpoint=endpoint).count() == 1


# ------------------------------------------------------------------ nodes and their agents


@pytest.fixture
def on_node(stage):
    """An endpoint whose only engine runs on a node with an agent."""
    host = Host(add_node(actor=SYSTEM, region=stage.region, name="gpu-01"))
    endpoint = stage.ready()
    host.beat(facts=facts())
    Replica.objects.filter(endpoint=endpoint).update(node=host.node)
    return host, endpoint


def test_a_spot_notice_of_a_node_brings_a_replacement_before_its_engines_go(
    stage, on_node, django_capture_on_commit_callbacks
):
    host, endpoint = on_node
    (doomed,) = made.replicas(endpoint)
    with django_capture_on_commit_callbacks(execute=True):
        host.beat(notice=Notice("terminate", db_now() + timedelta(minutes=2), "aws"))
    doomed.refresh_from_db()
    assert doomed.noticed_at is not None
    assert [one.id for one in occupants_of(host.node)] == [str(doomed.pk)]
    steer(endpoint)
    work_off(endpoint, seconds=10)
    doomed.refresh_from_db()
    (other,) = made.replicas(endpoint, "ready")
    assert (doomed.state, other.pk != doomed.pk, endpoint.state) == ("preempted", True, "ready")
    assert occupants_of(host.node) == []


def test_what_an_agent_sees_of_engines_is_proof_of_life_or_a_reason_to_look(on_node):
    host, endpoint = on_node
    (replica,) = made.replicas(endpoint)
    (told,) = host.beat().engines
    assert (told.name, told.url, told.key) == (str(replica.pk), replica.url, replica.secret)
    Replica.objects.filter(pk=replica.pk).update(missed_at=db_now(), last_seen_at=None, due_at=None)
    host.beat(sample(1, engines=[{"name": str(replica.pk), "healthy": True}, {"name": "x", "healthy": True}]))
    replica.refresh_from_db()
    assert replica.last_seen_at is not None
    assert replica.missed_at is None
    late = {"name": str(replica.pk), "healthy": False}
    host.beat(sample(2, at=db_now() - timedelta(hours=1), engines=[late]))
    replica.refresh_from_db()
    assert replica.missed_at is None
    ahead = db_now() + timedelta(hours=1)
    host.beat(sample(3, at=ahead - timedelta(minutes=5), engines=[late]), sent_at=ahead)
    replica.refresh_from_db()
    assert replica.missed_at is None, "by the host's own clock it is old, however wrong that is"
    host.beat(sample(4, at=ahead, engines=[late]), sent_at=ahead)
    replica.refresh_from_db()
    assert replica.missed_at is not None
    assert replica.due_at is not None
