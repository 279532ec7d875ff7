"""Teams, members, keys, staff and audit over the APIs."""

import time
from typing import Any

import pytest

from apps.core.actor import SYSTEM
from apps.core.permissions import Role
from apps.teams.models import ApiKey, Team
from apps.teams.services import IssuedKey, bootstrap_administrator
from apps.users.models import StaffRole
from tests.api.world import Caller, session_caller, staff_caller, team_caller
from tests.apps.users.test_services import ED25519
from tests.factories.teams import TeamFactory, admin_of, key_of, member_of, workspace_of
from tests.factories.users import UserFactory

USER, ADMIN = "/api/user/v1", "/api/admin/v1"
pytestmark = pytest.mark.django_db


@pytest.fixture
def team() -> Team:
    return TeamFactory()


@pytest.fixture
def call(team: Team) -> Caller:
    return team_caller(team)


@pytest.fixture
def staff() -> Caller:
    return staff_caller(UserFactory(staff=Role.FULL_ADMINISTRATOR))


def refused(answer: Any, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.content


def test_the_team_is_read_and_renamed_unless_it_changed_meanwhile(team: Team, call: Caller) -> None:
    first = call.get(f"{USER}/team")
    assert first.json()["slug"] == team.slug
    assert call.patch(f"{USER}/team", {"name": "New name"}).json()["name"] == "New name"
    refused(call.patch(f"{USER}/team", {"name": " "}), 422, "invalid")
    assert [one["id"] for one in call.get(f"{USER}/teams").json()["items"]] == [team.pk]


def test_a_browser_makes_a_team_and_a_key_does_not(call: Caller) -> None:
    made = session_caller(UserFactory()).post(f"{USER}/teams", {"name": "Mine"})
    assert made.status_code == 201
    refused(call.post(f"{USER}/teams", {"name": "Mine"}), 403, "not_permitted")


def test_members_are_listed_changed_and_removed(team: Team, call: Caller) -> None:
    member = team.memberships.get(user=member_of(team))
    assert len(call.get(f"{USER}/members").json()["items"]) == 2
    path = f"{USER}/members/{member.pk}"
    assert call.patch(path, {"role": "team_viewer"}).json()["role"] == "team_viewer"
    refused(call.patch(path, {"role": "operator"}), 422, "invalid")
    assert call.delete(path).status_code == 204
    refused(call.get(path), 404, "not_found")
    last = team.memberships.get()
    refused(call.delete(f"{USER}/members/{last.pk}"), 409, "last_admin")


def test_members_of_others_are_missing(call: Caller) -> None:
    foreign = TeamFactory().memberships.get()
    for answer in (
        call.get(f"{USER}/members/{foreign.pk}"),
        call.delete(f"{USER}/members/{foreign.pk}"),
        call.patch(f"{USER}/members/{foreign.pk}", {"role": "team_viewer"}),
        call.get(f"{USER}/members/nonsense"),
    ):
        refused(answer, 404, "not_found")


def test_invitations_are_made_listed_and_withdrawn(call: Caller) -> None:
    wish = {"email": "new@example.com", "role": "team_member"}
    made = call.post(f"{USER}/invitations", wish, Idempotency_Key="one")
    assert made.status_code == 201
    assert "/invitations/" in made.json()["url"]
    listed = call.get(f"{USER}/invitations").json()["items"]
    assert [one["email"] for one in listed] == ["new@example.com"]
    assert "url" not in listed[0]
    assert call.delete(f"{USER}/invitations/{listed[0]['id']}").status_code == 204
    assert call.get(f"{USER}/invitations").json()["items"] == []
    refused(call.post(f"{USER}/invitations", {**wish, "email": "x"}), 422, "invalid")


def test_workspaces_are_made_renamed_and_deleted(team: Team, call: Caller) -> None:
    made = call.post(f"{USER}/workspaces", {"name": "Production"}).json()
    path = f"{USER}/workspaces/{made['id']}"
    assert call.patch(path, {"name": "Live"}).json() == {**made, "name": "Live"}
    refused(call.post(f"{USER}/workspaces", {"name": "Production"}), 409, "name_taken")
    assert call.delete(path).status_code == 204
    refused(call.delete(f"{USER}/workspaces/{workspace_of(team).pk}"), 409, "last_workspace")


def test_a_key_is_made_used_rotated_and_revoked_and_its_secret_is_kept_nowhere(call: Caller) -> None:
    wish = {"name": "ci", "scopes": ["team:read", "api_key:manage", "api_key:read"]}
    made = call.post(f"{USER}/api-keys", wish, Idempotency_Key="k")
    assert made.status_code == 201
    assert made["Cache-Control"] == "no-store"
    secret, key = made.json()["secret"], made.json()["key"]
    assert Caller(secret).get(f"{USER}/team").status_code == 200
    assert "secret" not in call.get(f"{USER}/api-keys/{key['id']}").json()
    rotated = call.post(f"{USER}/api-keys/{key['id']}/rotate", {"overlap_seconds": 60})
    assert Caller(rotated.json()["secret"]).get(f"{USER}/team").status_code == 200
    assert call.post(f"{USER}/api-keys/{key['id']}/revoke").json()["revoked_at"]
    refused(Caller(secret).get(f"{USER}/team"), 401, "bad_key")


@pytest.mark.parametrize(
    "wrong",
    [
        {"scopes": []},
        {"scopes": ["staff:manage"]},
        {"scopes": ["nonsense"]},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"allowed_networks": ["10.0.0.1/8"]},
        {"workspace_id": "nonsense"},
        {"name": ""},
    ],
)
def test_a_key_that_is_not_sound_is_refused(call: Caller, wrong: dict[str, Any]) -> None:
    before = ApiKey.objects.count()
    answer = call.post(f"{USER}/api-keys", {"name": "x", "scopes": ["team:read"], **wrong})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].split(".")[0] in wrong
    assert ApiKey.objects.count() == before


def test_a_workspace_of_others_is_missing_when_making_a_key(call: Caller) -> None:
    foreign = workspace_of(TeamFactory()).pk
    wish = {"name": "x", "scopes": ["team:read"], "workspace_id": foreign}
    refused(call.post(f"{USER}/api-keys", wish), 404, "not_found")


def test_a_key_of_a_workspace_manages_nothing_beyond_it(team: Team) -> None:
    bound = team_caller(team, workspace=workspace_of(team))
    refused(bound.post(f"{USER}/workspaces", {"name": "x"}), 403, "not_permitted")
    refused(bound.patch(f"{USER}/team", {"name": "x"}), 403, "not_permitted")
    made = bound.post(f"{USER}/api-keys", {"name": "x", "scopes": ["team:read"]}).json()
    assert made["key"]["workspace_id"] == workspace_of(team).pk


def test_a_browser_proves_itself_before_it_makes_keys(team: Team) -> None:
    user = admin_of(team)
    caller = session_caller(user)
    wish = {"name": "x", "scopes": ["team:read"]}
    session = caller.client.session
    session["began"] = session["seen"] = time.time() - 3600
    session.save()
    refused(caller.post(f"{USER}/api-keys", wish), 403, "reauthentication_required")
    session["account_authentication_methods"] = [{"method": "password", "at": time.time()}]
    session["account_authentication_methods_user"] = user.pk
    session.save()
    assert caller.post(f"{USER}/api-keys", wish).status_code == 201


def test_a_browser_proves_itself_before_it_hands_out_roles() -> None:
    caller = session_caller(UserFactory(staff=Role.FULL_ADMINISTRATOR))
    session = caller.client.session
    session["began"] = session["seen"] = time.time() - 900
    session.save()
    wish = {"user_id": UserFactory().pk, "role": "auditor"}
    refused(caller.post(f"{ADMIN}/staff", wish), 403, "reauthentication_required")
    held = StaffRole.objects.get()
    refused(caller.delete(f"{ADMIN}/staff/{held.pk}"), 403, "reauthentication_required")


def test_ssh_keys_are_ones_own(team: Team, call: Caller) -> None:
    made = call.post(f"{USER}/ssh-keys", {"name": "laptop", "public_key": f"{ED25519} me"})
    assert made.status_code == 201
    assert made.json()["public_key"] == ED25519
    refused(call.post(f"{USER}/ssh-keys", {"public_key": "nonsense"}), 422, "bad_public_key")
    stranger = team_caller(team, user=member_of(team))
    refused(stranger.get(f"{USER}/ssh-keys/{made.json()['id']}"), 404, "not_found")
    assert call.delete(f"{USER}/ssh-keys/{made.json()['id']}").status_code == 204


def test_the_audit_log_is_read_by_admins(team: Team, call: Caller) -> None:
    TeamFactory()
    found = call.get(f"{USER}/audit?action=team.created").json()["items"]
    assert [one["team_id"] for one in found] == [team.pk]
    assert call.get(f"{USER}/audit/{found[0]['id']}").json() == found[0]
    refused(call.get(f"{USER}/audit?since=yesterday"), 422, "invalid")


def test_staff_manage_teams(staff: Caller) -> None:
    owner = UserFactory()
    made = staff.post(f"{ADMIN}/teams", {"name": "Customer", "owner_id": owner.pk}).json()
    path = f"{ADMIN}/teams/{made['id']}"
    assert staff.post(f"{path}/suspend", {"reason": "unpaid"}).json()["state"] == "suspended"
    refused(staff.post(f"{path}/suspend", {"reason": "unpaid"}), 409, "illegal_transition")
    assert staff.post(f"{path}/resume").json()["state"] == "active"
    assert staff.patch(path, {"name": "Client"}).json()["name"] == "Client"
    assert staff.post(f"{path}/close").json()["state"] == "closed"


def test_staff_manage_people_and_roles(staff: Caller) -> None:
    made = staff.post(f"{ADMIN}/users", {"email": "ops@example.com", "name": "Ops"}).json()
    refused(staff.post(f"{ADMIN}/users", {"email": "OPS@example.com"}), 409, "email_taken")
    wish = {"user_id": made["id"], "role": "auditor"}
    held = staff.post(f"{ADMIN}/staff", wish)
    assert held.status_code == 201
    refused(staff.post(f"{ADMIN}/staff", {**wish, "role": "region_viewer"}), 422, "invalid")
    assert staff.delete(f"{ADMIN}/staff/{held.json()['id']}").status_code == 204
    path = f"{ADMIN}/users/{made['id']}"
    assert staff.post(f"{path}/deactivate", {"reason": "left"}).json()["is_active"] is False
    assert staff.post(f"{path}/reactivate").json()["is_active"] is True
    assert staff.post(f"{path}/end-sessions").status_code == 200
    last = StaffRole.objects.get(role=Role.FULL_ADMINISTRATOR)
    refused(staff.delete(f"{ADMIN}/staff/{last.pk}"), 409, "last_administrator")


def test_auditors_read_and_change_nothing() -> None:
    auditor = staff_caller(UserFactory(staff=Role.AUDITOR))
    person = UserFactory()
    for noun in ("teams", "users", "staff", "audit", "api-keys"):
        assert auditor.get(f"{ADMIN}/{noun}").status_code == 200
    refused(auditor.post(f"{ADMIN}/users/{person.pk}/deactivate", {"reason": "x"}), 403, "not_permitted")
    refused(auditor.post(f"{ADMIN}/staff", {"user_id": person.pk, "role": "auditor"}), 403, "not_permitted")


def test_the_admin_token_of_a_new_platform_works_once() -> None:
    issued: IssuedKey = bootstrap_administrator(actor=SYSTEM, email="root@example.com")
    person = UserFactory()
    wish = {"user_id": person.pk, "role": "operator"}
    caller = Caller()
    assert caller.post(f"{ADMIN}/staff", wish, X_Admin_Token=issued.secret).status_code == 201
    refused(caller.post(f"{ADMIN}/staff", wish, X_Admin_Token=issued.secret), 401, "bad_key")


def test_staff_revoke_a_customers_key(staff: Caller) -> None:
    key = key_of(TeamFactory()).key
    assert staff.post(f"{ADMIN}/api-keys/{key.pk}/revoke").json()["revoked_at"]
