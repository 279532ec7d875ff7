"""Engines' logs: brought when somebody asks, kept when an engine goes, shown to its team alone."""

from datetime import timedelta

import pytest

from apps.core.actor import ANONYMOUS
from apps.core.clock import db_now
from apps.core.errors import NotFound
from apps.core.permissions import Role
from apps.drivers.sim.world import Fault
from apps.inference import reconcilers
from apps.inference.models import EngineLog, Replica
from apps.inference.services import endpoints, logs
from apps.regions.models import Region
from tests.factories import inference as made
from tests.factories.inference import make_stage, work_off
from tests.factories.teams import TeamFactory, actor_of, member_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def stage(tmp_path):
    return make_stage(tmp_path)


@pytest.fixture
def replica(stage):
    (one,) = made.replicas(stage.ready())
    return one


def follow(stage, replica, actor=None):
    return logs.follow_log(actor=actor or stage.actor, replica_id=str(replica.pk))


def test_who_asks_is_brought_what_is_new(stage, replica):
    assert follow(stage, replica).text == ""
    assert reconcilers.read_asked() == 1
    log = follow(stage, replica)
    assert "serving" in log.text
    assert log.read_at is not None
    stage.driver.world.advance(30)
    reconcilers.read_asked()
    assert len(follow(stage, replica).text) > len(log.text)


def test_nobody_is_asked_when_nobody_asks(stage, replica):
    follow(stage, replica)
    assert [reconcilers.read_asked(), reconcilers.read_asked()] == [1, 0]
    follow(stage, replica)
    EngineLog.objects.update(asked_at=db_now() - timedelta(minutes=2))
    assert reconcilers.read_asked() == 0


def test_what_is_not_the_teams_is_not_there(stage, replica):
    viewer = actor_of(stage.team, member_of(stage.team, Role.TEAM_VIEWER))
    others = [ANONYMOUS, actor_of(TeamFactory()), viewer]
    for actor in others:
        with pytest.raises(NotFound):
            follow(stage, replica, actor)
    assert not EngineLog.objects.exists()


def test_last_words_stay_when_the_engine_goes(stage, replica):
    stage.driver.set_engine(replica.engine_name, exited=1, failure="It ran out of memory.")
    made.bring_about(replica)
    replica.refresh_from_db()
    assert (replica.state, replica.released_at is not None) == ("failed", True)
    assert stage.driver.observe_engine(replica.engine_name) is None
    assert "It ran out of memory." in follow(stage, replica).text
    assert EngineLog.objects.get().asked_at is None


def test_a_log_that_cannot_be_read_holds_up_no_removal(stage, replica):
    stage.driver.world.inject(Fault.REFUSED, method="read_log", times=None)
    follow(stage, replica)
    assert reconcilers.read_asked() == 0
    endpoint = replica.endpoint
    endpoints.delete_endpoint(actor=stage.actor, endpoint_id=str(endpoint.pk))
    assert work_off(endpoint, seconds=10).state == "deleted"


def test_a_frozen_region_is_left_alone(stage, replica):
    follow(stage, replica)
    Region.objects.filter(pk=stage.region.pk).update(frozen_at=db_now())
    assert reconcilers.read_asked() == 0


def test_logs_of_what_is_long_gone_are_forgotten(stage, replica):
    follow(stage, replica)
    assert logs.forget_logs() == 0
    long_ago = db_now() - timedelta(days=8)
    Replica.objects.filter(pk=replica.pk).update(released_at=long_ago, absence={})
    assert logs.forget_logs() == 1
