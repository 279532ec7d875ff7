"""Endpoints through the APIs, and launches at the addresses older clients know."""

import json
from functools import partial
from typing import Any

import pytest

from apps.core.actor import SYSTEM
from apps.core.permissions import Role
from apps.inference import reconcilers
from apps.inference.models import Endpoint
from apps.registry.services import share_model
from apps.registry.states import Visibility
from tests.api.world import Caller, staff_caller, team_caller
from tests.factories.inference import Stage, make_hardware, make_stage, make_version, replicas, work_off
from tests.factories.teams import TeamFactory
from tests.factories.users import UserFactory

pytestmark = pytest.mark.django_db
BASE = "/api/user/v1/endpoints"


@pytest.fixture
def stage(tmp_path) -> Stage:
    return make_stage(tmp_path)


def ask(caller: Caller, method: str, path: str, body: Any = None, status: int = 200) -> Any:
    """The answer's body, once its status is what it should be."""
    answer = caller(method.upper(), path, body)
    assert answer.status_code == status, answer.content
    return answer.json()


@pytest.fixture
def team(stage: Stage) -> Any:
    return partial(ask, team_caller(stage.team))


@pytest.fixture
def admin() -> Any:
    return partial(ask, staff_caller(UserFactory(staff=Role.OPERATOR)))


def test_a_team_launches_scales_updates_and_deletes(stage: Stage, team: Any) -> None:
    wish = {"name": "chat", "region": stage.region.slug, "version": str(stage.version.pk)}
    wish |= {"hardware": stage.hardware.slug, "scale": {"least": 1, "most": 2}}
    made = team("post", BASE, wish, 202)
    assert (made["name"], made["state"], made["hourly"]) == ("chat", "deploying", "0.6")
    endpoint = work_off(Endpoint.objects.get())
    here = f"{BASE}/{endpoint.pk}"
    shown = team("get", here)
    assert (shown["state"], shown["ready"], shown["revision"]["number"]) == ("ready", 1, 1)
    assert "api_key" not in json.dumps(shown)
    rules = {"least": 0, "most": 4, "metric": "tokens", "target": 100, "idle_seconds": 300}
    assert team("post", f"{here}/scale", rules)["scale"]["most"] == 4
    newer = make_version(stage.team, model=stage.version.model)
    recipe = {"version": str(newer.pk), "hardware": stage.hardware.slug}
    team("post", f"{here}/canary", {**recipe, "weight": 10}, 202)
    busy = team("post", f"{here}/deploy", recipe, 409)
    assert busy["code"] == "endpoint_busy"
    work_off(endpoint, seconds=10)
    team("post", f"{here}/promote", {}, 202)
    work_off(endpoint, passes=30, seconds=10)
    assert [one["number"] for one in team("get", f"{here}/revisions")["items"]] == [2, 1]
    (one,) = team("get", "/api/user/v1/replicas")["items"]
    assert (one["endpoint"], one["revision"]) == ("chat", 2)
    assert "url" not in one
    assert team("delete", here, status=202)["operation_id"]
    assert work_off(endpoint, seconds=10).state == "deleted"
    assert team("get", BASE)["items"] == []


def test_hardware_is_listed_with_where_it_is_and_what_it_costs(stage: Stage, team: Any, admin: Any) -> None:
    (mine,) = team("get", "/api/user/v1/engine-hardware")["items"]
    (known,) = admin("get", "/api/admin/v1/engine-hardware")["items"]
    assert (mine.pop("hourly"), mine.pop("currency")) == ("0.6", stage.team.currency)
    assert mine == known
    assert (known["slug"], known["regions"]) == (stage.hardware.slug, [stage.region.slug])
    make_hardware("new")
    assert team("get", "/api/user/v1/engine-hardware")["items"][1]["hourly"] is None


def test_a_team_reads_what_its_engines_write(stage: Stage, team: Any, admin: Any) -> None:
    (replica,) = replicas(stage.ready())
    address = f"/api/user/v1/replicas/{replica.pk}/log"
    assert team("get", address)["text"] == ""
    reconcilers.read_asked()
    said = team("get", address)
    assert "serving" in said["text"]
    assert (said["replica_id"], said["is_following"]) == (str(replica.pk), True)
    assert said["read_at"]
    assert replica.secret not in json.dumps(said)
    team("get", "/api/user/v1/replicas/rep_0000000000000000000000000a/log", status=404)


def test_what_is_wrong_is_said_by_field(stage: Stage, team: Any) -> None:
    wish = {"name": "Not Good", "region": stage.region.slug, "version": str(stage.version.pk)}
    wish["hardware"] = stage.hardware.slug
    assert team("post", BASE, wish, 422)["errors"][0]["field"] == "name"
    assert team("post", BASE, {**wish, "name": "x", "colour": "red"}, 422)
    assert not Endpoint.objects.exists()
    team("post", BASE, {**wish, "name": "good"}, 202)
    assert team("post", BASE, {**wish, "name": "good"}, 409)["errors"][0]["field"] == "name"


def test_older_clients_launch_and_ask_how_it_goes(stage: Stage, admin: Any) -> None:
    version = make_version(None, slug="open-chat")
    wish = {"model": "open-chat", "region": stage.region.slug, "instance_type": stage.hardware.slug}
    job = admin("post", "/admin/instances/launch", {**wish, "provider": "sim"}, 202)
    status = f"/admin/instances/status?job_id={job['job_id']}"
    assert admin("get", status)["state"] in ("pending", "running")
    endpoint = Endpoint.objects.get()
    assert (endpoint.slug, endpoint.visibility) == ("open-chat", "public")
    assert endpoint.revision.version_id == version.pk
    work_off(endpoint)
    done = admin("get", status)
    assert (done["state"], done["progress"], done["endpoint_id"]) == ("succeeded", 100, str(endpoint.pk))
    assert [step["state"] for step in done["steps"]] == ["done"] * 5
    assert admin("post", "/admin/instances/launch", {**wish, "model": "nothing"}, 422)
    again = admin("post", "/admin/instances/launch", wish, 409)
    assert [one["field"] for one in again["errors"]] == ["name"]
    anew = {"name": "open-chat", "region": stage.region.slug, "version": str(version.pk)}
    taken = admin("post", "/api/admin/v1/endpoints", {**anew, "hardware": stage.hardware.slug}, 409)
    assert [one["field"] for one in taken["errors"]] == ["name"]
    assert admin("get", "/admin/instances/status", status=422)
    secret = admin.args[0].headers.pop("Authorization").removeprefix("Bearer ")
    assert admin("get", status, status=401)
    admin.args[0].headers["X-Admin-Token"] = secret
    assert admin("get", status)["job_id"] == job["job_id"]


def test_staff_see_where_replicas_are(stage: Stage, admin: Any) -> None:
    endpoint = stage.ready()
    (replica,) = replicas(endpoint)
    (one,) = admin("get", "/api/admin/v1/replicas")["items"]
    assert (one["id"], one["url"], one["cluster"]) == (str(replica.pk), replica.url, "engines")
    assert replica.secret not in json.dumps(one)


def test_staff_change_what_everybody_may_call(stage: Stage, admin: Any) -> None:
    teams, stage.version = make_version(stage.team), make_version()
    endpoint = stage.ready(public=True, slug="ours")
    here = f"/api/admin/v1/endpoints/{endpoint.pk}"
    assert admin("post", f"{here}/scale", {"least": 1, "most": 3})["scale"]["most"] == 3
    recipe = {"version": str(make_version(model=stage.version.model).pk), "hardware": stage.hardware.slug}
    refused = admin("post", f"{here}/deploy", {**recipe, "version": str(teams.pk)}, 422)
    assert [one["field"] for one in refused["errors"]] == ["version"]
    admin("post", f"{here}/canary", {**recipe, "weight": 20}, 202)
    work_off(endpoint, seconds=10)
    assert admin("post", f"{here}/weigh", {"weight": 40})["canary_weight"] == 40
    assert admin("post", f"{here}/drop", {})["canary_weight"] == 0
    admin("post", f"{here}/deploy", recipe, 202)
    work_off(endpoint, passes=30, seconds=10)
    shown = admin("get", here)
    assert (shown["revision"]["version_id"], shown["team"]) == (recipe["version"], "")
    admin("post", f"{here}/rollback", {}, 202)


def test_staff_put_no_foreign_model_behind_a_teams_endpoint(stage: Stage, admin: Any) -> None:
    endpoint, others = stage.ready(), make_version(TeamFactory())
    recipe = {"version": str(others.pk), "hardware": stage.hardware.slug}
    here = f"/api/admin/v1/endpoints/{endpoint.pk}"
    refused = admin("post", f"{here}/deploy", recipe, 422)
    assert [one["field"] for one in refused["errors"]] == ["version"]
    share_model(actor=SYSTEM, model=others.model, visibility=Visibility.TEAMS, teams=[str(stage.team.slug)])
    admin("post", f"{here}/deploy", recipe, 202)


def test_staff_add_a_provider_and_take_it_away(stage: Stage, admin: Any) -> None:
    stage.version = make_version()
    endpoint = stage.ready(public=True, slug="ours")
    base = "/api/admin/v1/replicas"
    wanted = {"endpoint": str(endpoint.pk), "url": "https://api.example.com/v1", "model": "theirs"}
    made = admin("post", base, {**wanted, "api_key": "sk-their-secret"}, 202)
    assert (made["kind"], made["state"], made["is_fallback"]) == ("external", "pending", True)
    assert (made["model_name"], made["revision"], made["provider_model"]) == (None, None, "theirs")
    assert "sk-their-secret" not in json.dumps(
        [made, admin("get", base), admin("get", f"{base}/{made['id']}")]
    )
    assert admin("post", base, {**wanted, "api_key": ""}, 409)["code"] == "wrong_state"
    wrong = admin("post", base, {**wanted, "url": "https://169.254.169.254/v1", "api_key": ""}, 422)
    assert [one["field"] for one in wrong["errors"]] == ["url"]
    admin("post", f"{base}/{made['id']}/replace", {}, 409)
    rate = {"currency": "USD", "input": "0.15", "output": "0.6"}
    change = {"api_key": "sk-the-next", "is_fallback": False, "rate": rate}
    changed = admin("patch", f"{base}/{made['id']}", change, 202)
    assert (changed["has_new_key"], changed["is_fallback"]) == (True, False)
    assert "sk-the-next" not in json.dumps(changed)
    admin("patch", f"{base}/{made['id']}", {"api_key": "a b"}, 422)
    admin("get", f"{base}/{made['id']}/log", status=403)
    admin("delete", f"{base}/{made['id']}", status=202)
    (own,) = replicas(endpoint, "ready")
    admin("delete", f"{base}/{own.pk}", status=404)


def test_staff_serve_a_model_from_a_provider_alone(stage: Stage, admin: Any) -> None:
    provider = {"url": "https://api.example.com/v1", "model": "theirs", "api_key": "sk-their-secret"}
    wish = {
        "name": "big", "region": stage.region.slug, "context_length": 131072, "provider": provider,
        "prices": {"currency": "EUR", "input": "1", "output": "3"},
    }  # fmt: skip
    base = "/api/admin/v1/endpoints"
    assert admin("post", f"{base}/provided", wish, 403)["permission"] == "price:manage"
    del wish["prices"]
    made = admin("post", f"{base}/provided", wish, 202)
    assert (made["state"], made["revision"], made["metering"]) == ("deploying", None, "tokens")
    assert made["model_name"] == "theirs"
    assert "sk-their-secret" not in json.dumps(made)
    changed = admin("post", f"{base}/{made['id']}/scale", {"most": 2}, 409)
    assert changed["code"] == "wrong_state"
    assert admin("post", f"{base}/provided", wish, 409)["code"] == "name_taken"
    admin("post", f"{base}/provided", {**wish, "name": "Not A Name"}, 422)
    (replica,) = admin("get", "/api/admin/v1/replicas")["items"]
    assert (replica["provider_model"], replica["is_fallback"]) == ("theirs", False)
