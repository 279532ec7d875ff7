"""People in the panels: members, invitations, workspaces, keys, staff, audit, oneself."""

import re
import time

import pytest
from allauth.usersessions.models import UserSession
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.core import tenancy
from apps.core.permissions import GRANTS, Permission, Role
from apps.panels import permissions
from apps.teams.models import ApiKey, Membership, Team
from apps.teams.selectors.actors import actor_for_key
from apps.teams.services import create_workspace, invite_member
from apps.users.models import StaffRole, User
from tests.apps.users.test_services import ED25519
from tests.factories.teams import TeamFactory, actor_of, admin_of, key_of, member_of, workspace_of
from tests.factories.users import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db


def browser_of(user: User, *, recent: bool = True) -> Client:
    """Signed in; `recent` means just now, with a proof of it in the session."""
    client = Client()
    client.force_login(user)
    session = client.session
    age = 0 if recent else 3600
    session["began"] = session["seen"] = time.time() - age
    session["account_authentication_methods"] = [{"method": "password", "at": time.time() - age}]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()
    return client


@pytest.fixture
def team() -> Team:
    return TeamFactory()


@pytest.fixture
def browser(team: Team) -> Client:
    return browser_of(admin_of(team))


@pytest.fixture
def admin() -> Client:
    return browser_of(UserFactory(staff=Role.FULL_ADMINISTRATOR))


def at(team: Team, rest: str) -> str:
    return f"/console/{team.slug}/default/{rest}"


CONSOLE = [
    "members", "members/invite", "members/invitations", "workspaces", "workspaces/new", "settings", "audit",
    "ssh-keys", "ssh-keys/new", "api-keys", "api-keys/new", "webhooks", "webhooks/new",
]  # fmt: skip
ADMIN = ["teams", "teams/new", "users", "staff", "staff/new", "audit", "api-keys", "api-keys/new"]


@pytest.mark.parametrize("page", CONSOLE)
def test_each_console_page_renders_within_its_budget(team: Team, browser: Client, page: str) -> None:
    for _person in range(3):
        member_of(team)
        key_of(team)
    browser.get(at(team, page))
    with CaptureQueriesContext(connection) as seen:
        answer = browser.get(at(team, page))
    assert answer.status_code == 200
    assert b"style=" not in answer.content
    assert len(seen) <= 15, "\n".join(query["sql"][:150] for query in seen)


@pytest.mark.parametrize("page", ADMIN)
def test_each_admin_page_renders_within_its_budget(team: Team, admin: Client, page: str) -> None:
    admin.get(f"/admin/{page}")
    with CaptureQueriesContext(connection) as seen:
        answer = admin.get(f"/admin/{page}")
    assert answer.status_code == 200
    assert len(seen) <= 15, "\n".join(query["sql"][:150] for query in seen)


@pytest.mark.parametrize(
    "page", ["members/invite", "workspaces/new", "settings", "audit", "api-keys/new", "webhooks"]
)
def test_viewers_find_no_page_that_changes_anything(team: Team, page: str) -> None:
    assert browser_of(member_of(team, Role.TEAM_VIEWER)).get(at(team, page)).status_code == 404


def test_a_member_changes_role_and_is_removed(team: Team, browser: Client) -> None:
    member = team.memberships.get(user=member_of(team))
    answer = browser.post(at(team, f"members/{member.pk}"), {"role": Role.TEAM_VIEWER})
    assert answer.status_code == 302
    member.refresh_from_db()
    assert member.role == Role.TEAM_VIEWER
    asked = browser.post(at(team, "members"), {"do": f"remove:{member.pk}"})
    assert asked.status_code == 422
    browser.post(at(team, "members"), {"do": f"remove:{member.pk}", "confirmed": "1"})
    assert not Membership.objects.filter(pk=member.pk).exists()


def test_the_last_admin_is_told_so_in_the_form(team: Team, browser: Client) -> None:
    last = team.memberships.get()
    answer = browser.post(at(team, f"members/{last.pk}"), {"role": Role.TEAM_VIEWER})
    assert answer.status_code == 422
    assert b"last admin" in answer.content


def test_an_invitation_is_made_shown_once_and_accepted_in_the_browser(team: Team, browser: Client) -> None:
    answer = browser.post(at(team, "members/invite"), {"email": "new@example.com", "role": Role.TEAM_MEMBER})
    assert answer.status_code == 200
    found = re.search(rb"/invitations/[\w:-]+", answer.content)
    assert found
    link = found[0].decode()
    assert b"new@example.com" in browser.get(at(team, "members/invitations")).content
    assert b"Create an account" in Client().get(link).content
    assert browser.post(link).status_code == 422
    guest = browser_of(UserFactory(email="new@example.com"))
    tenancy.see_everything()
    assert guest.post(link).url == at(team, "")
    assert guest.get(at(team, "members")).status_code == 200
    assert guest.get(link).url == at(team, "")
    assert browser_of(UserFactory()).get(link).status_code == 422
    assert Client().get(link).status_code == 422
    assert Client().get("/invitations/nonsense").status_code == 422


def test_an_invitation_is_withdrawn(team: Team, browser: Client) -> None:
    sent = invite_member(actor=actor_of(team), team=team, email="x@example.com", role=Role.TEAM_VIEWER)
    do = {"do": f"withdraw:{sent.invitation.pk}", "confirmed": "1"}
    assert browser.post(at(team, "members/invitations"), do).status_code == 302
    sent.invitation.refresh_from_db()
    assert sent.invitation.revoked_at


def test_an_api_key_is_shown_on_the_answer_and_never_again(team: Team, browser: Client) -> None:
    form = {
        "name": "backup",
        "access": "chosen",
        "scopes": ["instance:read"],
        "lasting": "30",
        "workspace": workspace_of(team).pk,
        "allowed_networks": "203.0.113.0/24, 198.51.100.7",
        "form_token": "form_x",
    }
    answer = browser.post(at(team, "api-keys/new"), form)
    found = re.search(rb"hai_live_\w{36}", answer.content)
    assert found
    assert "no-store" in answer.headers["Cache-Control"]
    again = browser.post(at(team, "api-keys/new"), form)
    assert again.status_code == 302
    assert ApiKey.objects.count() == 1
    assert found[0] not in browser.get(at(team, "api-keys")).content
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM operations_idempotencykey WHERE body::text LIKE '%%hai_live%%'")
        assert cursor.fetchone() == (0,)
    tenancy.see_everything()
    assert actor_for_key(found[0].decode(), "203.0.113.9").workspace_id == workspace_of(team).pk


@pytest.mark.parametrize(
    ("access", "held", "first"),
    [
        ("models", {"inference:use"}, "/v1/models"),
        ("reading", {one for one in Permission if one.endswith(":read")}, "/api/user/v1/instances"),
        ("all", set(GRANTS[Role.TEAM_ADMIN]), "/v1/models"),
    ],
)
def test_what_a_key_may_is_chosen_in_a_word_and_what_it_tries_first_is_allowed(
    team: Team, browser: Client, access: str, held: set[str], first: str
) -> None:
    page = browser.post(at(team, "api-keys/new"), {"name": "x", "access": access, "scopes": ["team:read"]})
    key = ApiKey.objects.get()
    assert set(key.scopes) == held & set(GRANTS[Role.TEAM_ADMIN])
    address = re.search(r"http://testserver(/\S+)", page.content.decode().partition('id="try')[2])
    assert address
    assert address[1].startswith(first)


def test_a_form_asks_for_what_it_needs(team: Team, browser: Client) -> None:
    reads = ["instance:read"]
    for form in ({}, {"scopes": ["staff:manage"]}, {"scopes": reads, "allowed_networks": "nowhere"}):
        wish = {"name": "x", "access": "chosen", **form}
        assert browser.post(at(team, "api-keys/new"), wish).status_code == 422
    assert not ApiKey.objects.exists()


def test_keys_are_made_only_by_who_has_just_proven_who_they_are(team: Team) -> None:
    late = browser_of(admin_of(team), recent=False)
    for answer in (late.get(at(team, "api-keys/new")), late.post(at(team, "api-keys/new"), {"name": "x"})):
        assert answer.status_code == 302
        assert answer.url.startswith("/accounts/reauthenticate/")
    assert not ApiKey.objects.exists()


def test_keys_are_rotated_and_revoked(team: Team, browser: Client) -> None:
    key = key_of(team).key
    answer = browser.post(at(team, f"api-keys/{key.pk}"), {"overlap": "24"})
    assert b"hai_live_" in answer.content
    browser.post(at(team, "api-keys"), {"do": f"revoke:{key.pk}", "confirmed": "1"})
    key.refresh_from_db()
    assert key.revoked_at
    foreign = key_of(TeamFactory()).key
    assert browser.get(at(team, f"api-keys/{foreign.pk}")).status_code == 404


def test_ssh_keys_are_added_and_deleted(team: Team, browser: Client) -> None:
    bad = browser.post(at(team, "ssh-keys/new"), {"name": "x", "public_key": "nonsense"})
    assert bad.status_code == 422
    assert browser.post(at(team, "ssh-keys/new"), {"name": "", "public_key": ED25519}).status_code == 302
    user = admin_of(team)
    key = user.ssh_keys.get()
    browser.post(at(team, "ssh-keys"), {"do": f"delete:{key.pk}", "confirmed": "1"})
    assert not user.ssh_keys.exists()


def test_workspaces_are_added_renamed_and_deleted(team: Team, browser: Client) -> None:
    browser.post(at(team, "workspaces/new"), {"name": "Production"})
    made = team.workspaces.get(slug="production")
    browser.post(at(team, f"workspaces/{made.pk}"), {"name": "Live"})
    done = {"do": f"delete:{made.pk}", "confirmed": "1", "typed": "Live"}
    browser.post(at(team, "workspaces"), done)
    assert [one.slug for one in team.workspaces.all()] == ["default"]


def test_audit_lists_stay_in_their_place(team: Team, browser: Client, admin: Client) -> None:
    other = TeamFactory(name="Elsewhere")
    create_workspace(actor=actor_of(other), team=other, name="Hidden")
    assert b"Hidden" not in browser.get(at(team, "audit")).content
    assert b"Hidden" in admin.get("/admin/audit").content


def test_a_key_of_staff_is_for_their_apis_and_asks_no_model(admin: Client) -> None:
    assert "Ask models" not in admin.get("/admin/api-keys/new").content.decode()
    made = admin.post("/admin/api-keys/new", {"name": "probe", "access": "all", "lasting": "30"})
    page = made.content.decode()
    assert "/api/admin/v1/instances" in page
    assert "/v1/models" not in page
    scopes = ApiKey.objects.get(name="probe").scopes
    assert Permission.ENDPOINT_UPDATE in scopes
    assert Permission.INFERENCE_USE not in scopes


def test_staff_suspend_resume_and_look_at_a_team(team: Team, admin: Client) -> None:
    page = f"/admin/teams/{team.pk}"
    for tab in ("overview", "members", "workspaces", "keys"):
        assert admin.get(f"{page}?tab={tab}").status_code == 200
    admin.post(page, {"do": "suspend", "confirmed": "1"})
    team.refresh_from_db()
    assert team.state == "suspended"
    admin.post(page, {"do": "resume"})
    team.refresh_from_db()
    assert team.state == "active"


def test_staff_make_a_team_for_somebody(admin: Client) -> None:
    owner = UserFactory()
    form = {"name": "Made", "owner": owner.email, "currency": "EUR"}
    assert admin.post("/admin/teams/new", {**form, "owner": "nobody@example.com"}).status_code == 422
    assert admin.post("/admin/teams/new", form).status_code == 302
    assert admin_of(Team.objects.get(name="Made")) == owner


def test_staff_look_at_shut_out_and_let_in_a_person(admin: Client) -> None:
    user = admin_of(TeamFactory())
    page = f"/admin/users/{user.pk}"
    for tab in ("overview", "teams", "roles"):
        assert admin.get(f"{page}?tab={tab}").status_code == 200
    admin.post(page, {"do": "shut-out", "confirmed": "1"})
    user.refresh_from_db()
    assert not user.is_active
    admin.post(page, {"do": "let-in"})
    admin.post(page, {"do": "sign-out", "confirmed": "1"})
    user.refresh_from_db()
    assert user.is_active


def test_roles_are_granted_and_revoked_and_the_last_administrator_stays(admin: Client) -> None:
    user = UserFactory()
    assert admin.post("/admin/staff/new", {"email": user.email, "role": Role.AUDITOR}).status_code == 302
    held = user.staff_roles.get()
    assert (
        admin.post("/admin/staff/new", {"email": user.email, "role": Role.REGION_VIEWER}).status_code == 422
    )
    admin.post("/admin/staff", {"do": f"revoke:{held.pk}", "confirmed": "1"})
    assert not user.staff_roles.exists()
    last = StaffRole.objects.get(role=Role.FULL_ADMINISTRATOR)
    admin.post("/admin/staff", {"do": f"revoke:{last.pk}", "confirmed": "1"})
    assert StaffRole.objects.filter(pk=last.pk).exists()


def test_auditors_look_and_touch_nothing(team: Team) -> None:
    auditor = browser_of(UserFactory(staff=Role.AUDITOR))
    assert auditor.get("/admin/staff").status_code == 200
    assert auditor.get("/admin/staff/new").status_code == 404
    assert auditor.post(f"/admin/teams/{team.pk}", {"do": "suspend", "confirmed": "1"}).status_code == 404
    team.refresh_from_db()
    assert team.state == "active"


def test_a_staff_key_is_made_in_the_admin_panel(admin: Client) -> None:
    form = {"name": "ci", "access": "chosen", "scopes": ["region:read"], "lasting": "30"}
    found = re.search(rb"hai_live_\w{36}", admin.post("/admin/api-keys/new", form).content)
    assert found
    tenancy.see_everything()
    assert actor_for_key(found[0].decode(), None).is_staff


class TestOneself:
    def test_the_profile_is_changed(self, team: Team, browser: Client) -> None:
        assert browser.get("/account").status_code == 200
        assert browser.get("/account/security").status_code == 200
        form = {"name": "Ada", "language": "en-gb", "time_zone": "Europe/Berlin"}
        answer = browser.post("/account", form)
        assert answer.status_code == 302
        assert answer.cookies["django_language"].value == "en-gb"
        assert admin_of(team).name == "Ada"
        assert browser.post("/account", {**form, "time_zone": "Mars"}).status_code == 422

    def test_another_browser_speaks_as_one_wished(self, team: Team, browser: Client) -> None:
        user = admin_of(team)
        browser.post("/account", {"name": "Ada", "language": "en-gb", "time_zone": "UTC"})
        other = Client()
        other.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
        assert b'<html lang="en-gb"' in other.get("/account").content

    def test_one_session_is_ended_from_another(self, team: Team) -> None:
        user = admin_of(team)
        here, there = Client(), Client()
        for client in (here, there):
            client.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
        tenancy.see_everything()
        others = UserSession.objects.exclude(session_key=here.session.session_key)
        page = here.get("/account/security")
        assert len(page.context["sessions"]) == 2
        here.post("/account/security", {"end": others.get().pk})
        assert there.get("/account").status_code == 302
        assert here.get("/account").status_code == 200
        assert here.post("/account/security", {"end": "x"}).status_code == 302

    def test_one_leaves_a_team_but_not_as_its_last_admin(self, team: Team, browser: Client) -> None:
        browser.post("/account", {"leave": team.pk})
        assert team.memberships.count() == 1
        guest = member_of(team)
        browser_of(guest).post("/account", {"leave": team.pk})
        tenancy.see_everything()
        assert not team.memberships.filter(user=guest).exists()

    def test_one_makes_a_team_of_ones_own(self) -> None:
        user = UserFactory()
        client = browser_of(user)
        assert client.post("/account/teams/new", {"name": " "}).status_code == 422
        assert client.post("/account/teams/new", {"name": "Own"}).url == "/console/own/default/"
        assert client.get("/console/own/default/members").status_code == 200

    def test_the_signed_out_are_sent_to_the_door(self) -> None:
        for page in ("/account", "/account/security", "/account/teams/new"):
            assert Client().get(page).url.startswith("/accounts/login/")


def test_every_permission_has_a_name_and_stands_in_one_group() -> None:
    named = [one for _group, names in permissions.GROUPS for one in names]
    assert sorted(named) == sorted(Permission)


def test_keys_are_offered_what_one_holds_in_words(team: Team, browser: Client) -> None:
    page = browser.get(at(team, "api-keys/new?model=tiny")).content.decode()
    assert 'value="tiny"' in page
    assert "Launch machines" in page
    assert 'value="instance:create"' in page
    assert "Give staff roles" not in page
    assert ">instance:create<" not in page
