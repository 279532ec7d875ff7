"""Updates and canaries that go wrong, each in the way of the other or of what is revoked."""

import pytest

from apps.core.actor import SYSTEM
from apps.drivers.sim.world import Fault
from apps.inference import reconcilers
from apps.inference.models import Endpoint, Replica
from apps.inference.selectors import routes
from apps.inference.services import endpoints, rollouts
from apps.inference.specs import ScaleRules
from apps.nodes.models import Node
from apps.nodes.services import add_node
from apps.operations import services as operations
from apps.operations.models import Operation
from apps.regions.errors import ClusterInUse
from apps.regions.services import move_cluster
from apps.registry.models import ModelVersion
from tests.factories.inference import bring_about, make_stage, make_version, steer, work_off

pytestmark = pytest.mark.django_db


@pytest.fixture
def stage(tmp_path):
    return make_stage(tmp_path)


def operation_of(endpoint):
    return Operation.objects.filter(target_id=str(endpoint.pk)).latest("created_at", "id")


def recipe_of(stage):
    """Of a version that is newer than all before."""
    return stage.recipe(version=str(make_version(stage.team, model=stage.version.model).pk))


def update(stage, endpoint):
    """Begin to serve a newer version."""
    rollouts.update_endpoint(actor=stage.actor, endpoint_id=str(endpoint.pk), recipe=recipe_of(stage))
    endpoint.refresh_from_db()


def fail_launches(stage, endpoint):
    """Nothing comes up any more, until the operation is given up."""
    stage.driver.world.inject(Fault.BOOT_FAILURE, method="launch_engine", times=None)
    for _attempt in range(12):
        Endpoint.objects.filter(pk=endpoint.pk).update(retry_at=None)
        work_off(endpoint, passes=2)
    assert operation_of(endpoint).state == "failed"


def grow(stage, endpoint):
    """There shall be more than there are."""
    three = ScaleRules(least=3, most=3)
    endpoints.set_scale(actor=stage.actor, endpoint_id=str(endpoint.pk), scale=three)
    endpoint.refresh_from_db()


def try_out(stage, endpoint):
    rollouts.set_canary(actor=stage.actor, endpoint_id=str(endpoint.pk), recipe=recipe_of(stage), weight=20)
    endpoint.refresh_from_db()


def test_a_canary_that_does_not_come_up_takes_nothing_else_back(stage):
    endpoint = stage.ready()
    update(stage, endpoint)
    work_off(endpoint, passes=30, seconds=10)
    served = endpoint.revision_id
    grow(stage, endpoint)
    try_out(stage, endpoint)
    fail_launches(stage, endpoint)
    assert (endpoint.revision_id, endpoint.canary_id) == (served, None)


def test_a_canary_that_serves_stays_while_others_do_not_come_up(stage):
    endpoint = stage.ready()
    try_out(stage, endpoint)
    served, tried = endpoint.revision_id, endpoint.canary_id
    for replica in Replica.objects.filter(revision_id=tried):
        bring_about(replica)
    steer(endpoint)
    (canary,) = Replica.objects.filter(revision_id=tried)
    assert bring_about(canary).state == "ready"
    grow(stage, endpoint)
    fail_launches(stage, endpoint)
    assert (endpoint.revision_id, endpoint.canary_id) == (served, tried)


def test_an_update_ends_what_is_tried_out_and_goes_back_when_it_is_called_off(stage):
    endpoint = stage.ready()
    try_out(stage, endpoint)
    work_off(endpoint, passes=30, seconds=10)
    served = endpoint.revision_id
    update(stage, endpoint)
    assert endpoint.canary_id is None
    operations.cancel_operation(actor=stage.actor, operation_id=str(endpoint.operation_id))
    work_off(endpoint, passes=30, seconds=10)
    assert endpoint.revision_id == served
    assert {one.digest for one in routes.table()[0].replicas} == {stage.version.digest}


def test_nothing_goes_back_to_what_was_revoked(stage):
    endpoint = stage.ready()
    update(stage, endpoint)
    wished = endpoint.revision_id
    endpoints.mark_revoked(version_id=str(stage.version.pk))
    fail_launches(stage, endpoint)
    assert endpoint.revision_id == wished
    stage.driver.world.clear()
    Endpoint.objects.filter(pk=endpoint.pk).update(retry_at=None)
    assert work_off(endpoint, passes=30, seconds=10).state == "ready"


def test_what_was_revoked_drains_though_whoever_was_to_tell_has_died(stage):
    endpoint = stage.ready()
    ModelVersion.objects.filter(pk=stage.version.pk).update(state="revoked")
    reconcilers.catch_up()
    steer(endpoint)
    assert routes.table()[0].replicas == ()
    work_off(endpoint, seconds=10)
    assert stage.driver.engine_names() == []


def test_a_drained_node_is_left_though_whoever_was_to_tell_has_died(stage):
    endpoint = stage.ready()
    node = add_node(actor=SYSTEM, region=stage.region, name="host-1").node
    Node.objects.filter(pk=node.pk).update(state="testing")
    (replica,) = Replica.objects.filter(endpoint=endpoint)
    for state in ("initializing", "ready", "draining"):
        Node.objects.filter(pk=node.pk).update(state=state)
    Replica.objects.filter(pk=replica.pk).update(node=node)
    reconcilers.catch_up()
    assert bring_about(replica).state == "draining"


def test_what_a_request_may_cost_is_reckoned_with_every_engine_that_may_answer_it(stage):
    first, second = (make_version(stage.team, form=form) for form in ("safetensors", "gguf"))
    endpoint = stage.ready(recipe=stage.recipe(version=str(first.pk), context_length=512))
    (route,) = routes.table()
    assert (route.context_length, route.counts_one) == (512, False)
    recipe = stage.recipe(version=str(second.pk), context_length=2048)
    rollouts.set_canary(actor=stage.actor, endpoint_id=str(endpoint.pk), recipe=recipe, weight=20)
    work_off(endpoint, passes=30, seconds=10)
    (route,) = routes.table()
    assert (len(route.replicas), route.context_length, route.counts_one) == (2, 2048, True)


def test_a_cluster_on_which_engines_run_is_kept(stage):
    endpoint = stage.ready()
    with pytest.raises(ClusterInUse):
        move_cluster(actor=SYSTEM, cluster=stage.cluster, event="retire")
    endpoints.delete_endpoint(actor=stage.actor, endpoint_id=str(endpoint.pk))
    assert work_off(endpoint, passes=30, seconds=10).state == "deleted"
    assert move_cluster(actor=SYSTEM, cluster=stage.cluster, event="retire").state == "retired"
