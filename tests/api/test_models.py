"""Models through the User and the Admin API: added, uploaded, resumed, served, shared, revoked."""

from typing import Any

import httpx
import pytest

from apps.core.permissions import Role
from apps.registry.models import Model, ModelVersion
from apps.registry.specs import MIB
from apps.teams.models import Team
from tests.api.world import Caller, staff_caller, team_caller
from tests.apps.registry.conftest import own_bucket
from tests.factories.registry import gguf, make_model, make_version, sha256, work_off
from tests.factories.supply import make_supply
from tests.factories.teams import TeamFactory
from tests.factories.users import UserFactory

USER, ADMIN = "/api/user/v1/models", "/api/admin/v1/models"


@pytest.fixture
def store(settings: Any) -> Any:
    with own_bucket(settings) as opened:
        yield opened


@pytest.fixture
def team(db: None) -> Team:
    return TeamFactory()


@pytest.fixture
def call(team: Team) -> Caller:
    return team_caller(team)


@pytest.fixture
def admin(db: None) -> Caller:
    return staff_caller(UserFactory(staff=Role.FULL_ADMINISTRATOR))


def add(call: Caller, where: str = USER, **changes: Any) -> str:
    answer = call.post(where, {"slug": "small", "name": "Small", **changes})
    assert answer.status_code == 201, answer.json()
    return str(answer.json()["id"])


def test_the_whole_way_of_a_model(store: Any, team: Team, call: Caller) -> None:
    make_supply(nodes=1, gpus=1)
    model = f"{USER}/{add(call, licence='apache-2.0')}"
    body = gguf(padding=10 * MIB // 128)
    wanted = {"files": [{"path": "small.gguf", "size": len(body), "sha256": sha256(body)}]}
    begun = call.post(f"{model}/versions", wanted)
    assert (begun.status_code, begun.json()["state"]) == (201, "uploading"), begun.json()
    version = f"{model}/versions/{begun.json()['id']}"
    (file,) = call.get(f"{version}/files").json()["items"]
    here = f"{version}/files/{file['id']}"
    assert file["parts"] == 2
    for part in call.post(f"{here}/sign", {"numbers": [1, 2]}).json()["parts"]:
        begins = (part["number"] - 1) * file["part_size"]
        httpx.put(part["url"], content=body[begins : begins + part["length"]]).raise_for_status()
    assert [one["number"] for one in call.get(f"{here}/parts").json()["parts"]] == [1, 2]
    assert call.post(f"{here}/complete").json()["state"] == "stored"
    assert call.post(f"{version}/complete").status_code == 202
    work_off(ModelVersion.objects.get())
    shown = call.get(version).json()
    assert (shown["state"], shown["architecture"], shown["layers"]) == ("servable", "llama", 2)
    assert shown["manifest"] == [{"path": "small.gguf", "size": len(body), "sha256": sha256(body)}]
    assert call.get(USER).json()["items"][0]["newest"]["state"] == "servable"
    assert [one["name"] for one in call.get(f"{model}/aliases").json()["items"]] == ["latest"]
    fits = call.post(f"{version}/fit", {"context_length": 2048, "batch": 4}).json()["items"]
    assert fits[0]["fits"] is True
    assert call.post(f"{version}/deprecate").json()["state"] == "deprecated"
    assert call.post(f"{version}/restore").json()["state"] == "servable"
    assert call.post(f"{version}/revoke", {"reason": "leaked"}).json()["message"] == "leaked"
    assert call.delete(model).status_code == 204
    work_off(ModelVersion.objects.get())
    assert call.get(model).status_code == 404
    assert store.objects("") == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"files": []}, 422, "invalid"),
        ({"files": [{"path": "../x.gguf", "size": 1}]}, 422, "bad_manifest"),
        ({"files": [{"path": "pytorch_model.bin", "size": 1}]}, 422, "bad_manifest"),
        ({"files": [{"path": "x.gguf", "size": -1}]}, 422, "invalid"),
        ({"files": [{"path": "x.gguf", "size": 1, "sha256": "no"}]}, 422, "bad_manifest"),
    ],
)
def test_bad_manifests_are_problems(call: Caller, body: Any, status: int, code: str) -> None:
    answer = call.post(f"{USER}/{add(call)}/versions", body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert not ModelVersion.objects.exists()


@pytest.mark.parametrize(
    "repository", ["http://127.0.0.1/x", "../../etc/passwd", "a/b/c", "a", "a/..", "a b/c", ""]
)
def test_only_names_of_repositories_are_imported(call: Caller, repository: str) -> None:
    answer = call.post(f"{USER}/{add(call)}/versions/import", {"repository": repository})
    assert answer.status_code == 422
    assert not ModelVersion.objects.exists()


def test_a_missing_part_is_named(store: Any, call: Caller) -> None:
    model = f"{USER}/{add(call)}"
    begun = call.post(f"{model}/versions", {"files": [{"path": "x.gguf", "size": 100}]}).json()
    here = f"{model}/versions/{begun['id']}/files"
    file = call.get(here).json()["items"][0]
    answer = call.post(f"{here}/{file['id']}/complete")
    assert (answer.status_code, answer.json()["code"]) == (409, "upload_incomplete")
    assert call.post(f"{here}/{file['id']}/sign", {"numbers": [2]}).status_code == 422


def test_names_are_unique_in_a_team_only(call: Caller) -> None:
    add(call)
    assert call.post(USER, {"slug": "small", "name": "Again"}).status_code == 409
    add(team_caller(TeamFactory()))


def test_public_and_shared_models_are_seen_and_not_changed(
    store: Any, team: Team, call: Caller, admin: Caller
) -> None:
    own = add(admin, ADMIN, slug="open")
    assert admin.post(f"{ADMIN}/{own}/share", {"visibility": "public"}).status_code == 200
    lent = add(admin, ADMIN, slug="lent")
    shared = admin.post(f"{ADMIN}/{lent}/share", {"visibility": "teams", "teams": [team.slug]})
    assert shared.status_code == 200, shared.json()
    hidden = add(admin, ADMIN, slug="hidden")
    make_version(Model.objects.get(pk=lent))
    seen = {one["slug"] for one in call.get(USER).json()["items"]}
    assert seen == {"open", "lent"}
    version = call.get(f"{USER}/{lent}/versions").json()["items"][0]
    assert version["state"] == "servable"
    assert call.get(f"{USER}/{lent}/versions/{version['id']}/files").json()["items"] == []
    assert call.get(f"{USER}/{hidden}").status_code == 404
    assert call.patch(f"{USER}/{lent}", {"name": "Mine"}).status_code == 403
    assert call.post(f"{USER}/{lent}/versions/{version['id']}/revoke").status_code == 403
    others = {one["slug"] for one in team_caller(TeamFactory()).get(USER).json()["items"]}
    assert others == {"open"}


def test_a_team_shares_with_one_whose_id_it_was_told(call: Caller) -> None:
    other = TeamFactory()
    own = add(call)
    wish = {"visibility": "teams", "teams": [other.slug]}
    refused = call.post(f"{USER}/{own}/share", wish).json()
    assert (refused["errors"][0]["field"], "by its id" in refused["detail"]) == ("teams", True)
    assert call.post(f"{USER}/{own}/share", {**wish, "teams": [str(other.pk)]}).status_code == 200
    (seen,) = team_caller(other).get(USER).json()["items"]
    assert (seen["id"], seen["is_own"]) == (own, False)
    assert call.get(f"{USER}/{own}").json()["is_own"]


def test_a_team_cannot_publish_to_everybody(call: Caller) -> None:
    answer = call.post(f"{USER}/{add(call)}/share", {"visibility": "public"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


def test_staff_sees_all_and_may_revoke(store: Any, team: Team, admin: Caller) -> None:
    version = make_version(make_model(team))
    here = f"{ADMIN}/{version.model_id}/versions/{version.pk}"
    assert admin.get(here).json()["state"] == "servable"
    assert admin.post(f"{here}/revoke").json()["state"] == "revoked"
