"""Instances through the three APIs: launched, looked at, changed, deleted; lists that stay fast."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.api.instances import FullInstanceOut, InstanceOut, RegionalInstanceOut, columns_of, item_maker
from apps.billing.services import wallets
from apps.core.actor import SYSTEM
from apps.core.permissions import Role
from apps.instances.models import Instance
from apps.operations.models import Operation
from apps.teams.models import Team
from tests.api.world import Caller, staff_caller, team_caller
from tests.factories.billing import make_price
from tests.factories.supply import Supply, make_supply
from tests.factories.teams import TeamFactory
from tests.factories.users import UserFactory, region_staff
from tests.isolation.world import make_instance

LIST = "/api/user/v1/instances"


@pytest.fixture
def supply(db: None) -> Supply:
    made = make_supply()
    make_price(made.type.product, "0.10")
    make_price("disk", "0.0001")
    return made


@pytest.fixture
def team(db: None) -> Team:
    made = TeamFactory()
    wallets.top_up(actor=SYSTEM, team=made, amount=Decimal(100), reason="test")
    return made


@pytest.fixture
def call(team: Team) -> Caller:
    return team_caller(team)


def wish(supply: Supply, **changes: Any) -> dict[str, Any]:
    wanted = {
        "name": "box",
        "region": supply.region.slug,
        "type": supply.type.slug,
        "image": supply.image.slug,
    }
    return wanted | changes


def test_a_launch_is_accepted_with_an_operation(supply: Supply, call: Caller) -> None:
    answer = call.post(LIST, wish(supply))
    body = answer.json()
    assert answer.status_code == 202, body
    assert (body["name"], body["state"], body["desired"]) == ("box", "pending", "running")
    assert isinstance(body["hourly"], str)
    timeline = call.get(f"/api/user/v1/operations/{body['operation_id']}").json()
    assert {"user", "admin", "cluster"} <= {step["plane"] for step in timeline["steps"]}
    assert call.get(LIST).json()["items"] == [call.get(f"{LIST}/{body['id']}").json()]


def test_a_repeated_launch_is_one_machine(supply: Supply, call: Caller) -> None:
    first = call.post(LIST, wish(supply), Idempotency_Key="launch-1")
    again = call.post(LIST, wish(supply), Idempotency_Key="launch-1")
    assert first.status_code == 202
    assert first.content == again.content
    other = call.post(LIST, wish(supply, name="other"), Idempotency_Key="launch-1")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    assert Instance.objects.count() == 1


def test_bad_wishes_are_refused_and_change_nothing(supply: Supply, call: Caller) -> None:
    for changes, field in [
        ({"name": "Bad Name"}, "name"),
        ({"name": "x" * 64}, "name"),
        ({"region": "nowhere"}, "region"),
        ({"type": "none"}, "type"),
        ({"image": "none"}, "image"),
        ({"disk_gib": 0}, "disk_gib"),
        ({"disk_gib": "much"}, "disk_gib"),
        ({"ssh_keys": ["not a key"]}, "ssh_keys.0"),
        ({"workspace": "nowhere"}, "workspace"),
        ({"colour": "red"}, "colour"),
        ({"user_data": []}, "user_data"),
    ]:
        answer = call.post(LIST, wish(supply, **changes))
        assert answer.status_code == 422, (changes, answer.content)
        named = [one["field"] for one in answer.json()["errors"]]
        assert any(one.startswith(field.partition(".")[0]) for one in named), (changes, named)
    assert not Instance.objects.exists()


def test_who_cannot_pay_is_told_why(supply: Supply) -> None:
    answer = team_caller(TeamFactory()).post(LIST, wish(supply))
    assert answer.status_code == 402
    assert answer.json()["explanation"]["ok"] is False


def test_why_not_names_each_gate(supply: Supply, call: Caller) -> None:
    answer = call.post(f"{LIST}/explain", wish(supply)).json()
    assert answer["ok"] is True
    assert {"role", "region", "balance"} <= {gate["code"] for gate in answer["gates"]}


def test_a_changed_object_is_not_overwritten(supply: Supply, team: Team, call: Caller) -> None:
    path = f"{LIST}/{make_instance(team, supply, name='one').pk}"
    tag = call.get(path)["ETag"]
    renamed = call.patch(path, {"name": "two"}, If_Match=tag)
    assert (renamed.status_code, renamed.json()["name"]) == (200, "two")
    stale = call.patch(path, {"name": "three"}, If_Match=tag)
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    assert call.patch(path, {"name": "four"}, If_Match=renamed["ETag"]).status_code == 200


def test_life_goes_on_by_verbs(supply: Supply, team: Team, call: Caller) -> None:
    instance = make_instance(team, supply, name="box")
    path = f"{LIST}/{instance.pk}"
    stopped = call.post(f"{path}/stop")
    assert (stopped.status_code, stopped.json()["desired"]) == (202, "stopped")
    assert call.post(f"{path}/stop").status_code == 409
    assert call.get(f"{path}/metrics").json() == {"samples": []}
    deleted = call.delete(path)
    assert (deleted.status_code, deleted.json()["desired"]) == (202, "deleted")
    assert Operation.objects.filter(target_id=instance.pk, state="cancelled").count() == 1


def test_a_ticket_is_for_those_with_access(supply: Supply, team: Team, call: Caller) -> None:
    path = f"{LIST}/{make_instance(team, supply, name='box').pk}/terminal"
    asked = {"origin": "https://panel.example"}
    answer = call.post(path, asked)
    assert answer.status_code == 201
    assert len(answer.json()["ticket"]) > 30
    assert team_caller(team, "instance:read").post(path, asked).status_code == 403
    assert call.post(path, {"origin": "javascript:alert(1)"}).status_code == 422


def test_staff_see_their_part(supply: Supply, team: Team) -> None:
    instance = make_instance(team, supply, name="box")
    region = staff_caller(region_staff(Role.REGION_OPERATOR, supply.region))
    seen = region.get(f"/api/cluster/v1/regions/{supply.region.slug}/instances/{instance.pk}").json()
    assert (seen["team"], seen["node"]) == (team.name, supply.nodes[0].name)
    assert "hourly" not in seen
    listed = region.get(f"/api/cluster/v1/regions/{supply.region.slug}/instances").json()
    assert listed["items"] == [seen]
    operator = staff_caller(UserFactory(staff=Role.OPERATOR))
    everything = operator.get(f"/api/admin/v1/instances/{instance.pk}").json()
    assert {"hourly", "team_id", "last_error"} <= set(everything)
    assert operator.post(f"/api/admin/v1/instances/{instance.pk}/stop").status_code == 202


@pytest.mark.parametrize("shown", [InstanceOut, RegionalInstanceOut, FullInstanceOut])
def test_lists_and_objects_say_the_same(supply: Supply, team: Team, shown: Any) -> None:
    instance = make_instance(team, supply, name="box", hourly=Decimal("0.250000000000"))
    row = Instance.objects.filter(pk=instance.pk).values(*columns_of(shown)).get()
    instance.refresh_from_db()
    assert item_maker(shown)(row) == shown(instance).data
    assert set(shown().fields) == set(shown.columns)


def test_a_longer_list_costs_no_more_statements(supply: Supply, team: Team, call: Caller) -> None:
    counts = []
    for size in (1, 30):
        for number in range(Instance.objects.count(), size):
            make_instance(team, supply, name=f"box-{number}")
        call.get(f"{LIST}?limit=1000")
        with CaptureQueriesContext(connection) as seen:
            assert len(call.get(f"{LIST}?limit=1000").json()["items"]) == size
        counts.append(len(seen))
    assert counts[0] == counts[1] <= 12
