"""Endpoints of one team that serve a model of another, which may not see them."""

import pytest
from django.test import Client

from apps.core import tenancy
from apps.core.actor import SYSTEM
from apps.inference.errors import WrongState
from apps.inference.models import Revision
from apps.inference.services import rollouts
from apps.operations import services as operations
from apps.registry.errors import InUse
from apps.registry.services import retire_version, revoke_version, share_model
from tests.factories.inference import make_stage, make_version, work_off
from tests.factories.teams import TeamFactory, actor_of, admin_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def stage(tmp_path):
    return make_stage(tmp_path)


@pytest.fixture
def shared(stage):
    """A version that another team lends."""
    version = make_version(TeamFactory())
    share_model(actor=SYSTEM, model=version.model, visibility="teams", teams=[str(stage.team.pk)])
    return version


def test_what_another_team_serves_is_not_deleted_and_its_names_are_not_told(stage, shared):
    endpoint = stage.ready(recipe=stage.recipe(version=str(shared.pk)))
    owner = actor_of(shared.team)
    with tenancy.as_actor(owner), pytest.raises(InUse) as refused:
        retire_version(actor=owner, version=shared)
    assert "1 endpoint of another team" in refused.value.message
    assert endpoint.slug not in str(refused.value.context)
    with pytest.raises(InUse) as refused:
        retire_version(actor=SYSTEM, version=shared)
    assert endpoint.slug in refused.value.message


def test_what_is_revoked_is_served_by_no_other_team_either(stage, shared, django_capture_on_commit_callbacks):
    endpoint = stage.ready(recipe=stage.recipe(version=str(shared.pk)))
    owner = actor_of(shared.team)
    with tenancy.as_actor(owner), django_capture_on_commit_callbacks(execute=True):
        revoke_version(actor=owner, version=shared)
    assert Revision.objects.get(pk=endpoint.revision_id).is_revoked


def test_what_is_shared_no_more_goes_on_where_it_is_served_and_nowhere_else(stage, shared):
    endpoint = stage.ready(slug="lent", recipe=stage.recipe(version=str(shared.pk)))
    rollouts.update_endpoint(actor=stage.actor, endpoint_id=str(endpoint.pk), recipe=stage.recipe())
    work_off(endpoint, passes=30, seconds=10)
    second = stage.ready(recipe=stage.recipe(version=str(shared.pk)))
    share_model(actor=SYSTEM, model=shared.model, visibility="team")
    browser = Client()
    browser.force_login(admin_of(stage.team))
    for one in (endpoint, second):
        for tab in ("", "traffic", "replicas", "scale", "events", "logs"):
            where = f"/console/{stage.team.slug}/{stage.workspace.slug}/endpoints/{one.pk}?tab={tab}"
            assert browser.get(where).status_code == 200, tab
    with tenancy.as_actor(stage.actor), pytest.raises(WrongState):
        rollouts.roll_back(actor=stage.actor, endpoint_id=str(endpoint.pk))
    with tenancy.as_actor(stage.actor):
        recipe = stage.recipe()
        moved = rollouts.update_endpoint(actor=stage.actor, endpoint_id=str(second.pk), recipe=recipe)
        operations.cancel_operation(actor=stage.actor, operation_id=str(moved.operation_id))
    second.refresh_from_db()
    assert Revision.objects.get(pk=second.revision_id).version_id == shared.pk
