"""The task tray: what is under way in this place, first; nobody else's."""

import pytest
from django.test import Client

from apps.core.actor import SYSTEM, Actor
from apps.operations import services
from apps.operations.models import Operation
from apps.operations.specs import OperationPlan, StepPlan, Target
from apps.operations.states import Plane
from apps.teams.models import Team
from tests.factories.teams import TeamFactory, actor_of, admin_of, workspace_of
from tests.factories.users import UserFactory

pytestmark = pytest.mark.django_db


def launch(team: Team, name: str, actor: Actor = SYSTEM) -> Operation:
    """Long work on something of the team's, at its second of two steps."""
    where = {"team_id": team.pk, "workspace_id": workspace_of(team).pk}
    target = Target(type="instance", id=f"ins_{name}", name=name, **where)
    steps = (StepPlan("accepted", Plane.USER, is_done=True), StepPlan("boot", Plane.MACHINE))
    plan = OperationPlan("instance.create", steps)
    return services.open_operation(actor=actor, target=target, plan=plan)


def tray(client: Client, team: Team) -> str:
    address = f"/tasks?panel=console&team={team.slug}&workspace=default"
    return client.get(address).content.decode()


def test_the_tray_shows_what_is_under_way_here_and_what_has_just_ended() -> None:
    team, other = TeamFactory(), TeamFactory()
    client = Client()
    client.force_login(admin_of(team))
    done = launch(team, "done")
    services.finish(operation_id=done.pk)
    mine = launch(team, "mine", actor_of(team))
    launch(other, "foreign")
    shown = tray(client, team)
    assert shown.index(mine.pk) < shown.index(done.pk)
    assert 'data-mine="Launch mine: waiting"' in shown
    assert 'value="50"' in shown
    assert "foreign" not in shown
    assert shown.count(" data-open") == 1


def test_the_tray_of_a_place_is_for_those_who_are_there() -> None:
    team, stranger = TeamFactory(), Client()
    address = f"/tasks?panel=console&team={team.slug}&workspace=default"
    assert stranger.get(address).status_code == 403
    stranger.force_login(UserFactory())
    assert [stranger.get(one).status_code for one in (address, "/tasks?panel=admin", "/tasks")] == [404] * 3
