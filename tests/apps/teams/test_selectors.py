"""Who is asking, and what they may see: the queryset filter, and row security beneath it."""

from collections.abc import Iterator

import pytest
from django.db import DatabaseError, connection, transaction

from apps.core import tenancy
from apps.core.actor import PLATFORM, SYSTEM
from apps.core.errors import NotFound
from apps.core.ids import decode, new_id
from apps.core.permissions import GRANTS, WHILE_SUSPENDED, Permission, Role
from apps.teams.models import ApiKey, Invitation, Membership, Team, Workspace
from apps.teams.selectors import rows
from apps.teams.selectors.actors import actor_for_user
from apps.teams.services import close_team, invite_member, resume_team, suspend_team
from apps.users.models import SshKey
from apps.users.services import grant_staff_role
from tests.factories.teams import TeamFactory, actor_of, admin_of, key_of, member_of, workspace_of
from tests.factories.users import UserFactory

pytestmark = pytest.mark.django_db

TENANT_TABLES = ["teams_team", "teams_workspace", "teams_membership", "teams_invitation", "teams_apikey"]


@pytest.fixture(autouse=True)
def _scope() -> Iterator[None]:
    yield
    tenancy.leave()


def ids_in(table: str) -> set[object]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM {table}")
        return {row[0] for row in cursor.fetchall()}


@pytest.mark.parametrize("role", [Role.TEAM_ADMIN, Role.TEAM_MEMBER, Role.TEAM_BILLING, Role.TEAM_VIEWER])
def test_a_member_holds_the_grants_of_the_role(role: Role) -> None:
    team = TeamFactory()
    assert actor_for_user(member_of(team, role)).grants == {team.scope: GRANTS[role]}


def test_the_actor_of_a_person_takes_three_statements(django_assert_num_queries) -> None:
    user = admin_of(TeamFactory())
    with django_assert_num_queries(3):
        actor_for_user(user)


def test_staff_hold_their_roles_where_they_hold_them() -> None:
    user = UserFactory(staff=Role.AUDITOR)
    region = new_id("reg")
    grant_staff_role(
        actor=SYSTEM, user=user, role=Role.REGION_OPERATOR, region_id=region, region_slug="hel-1"
    )
    actor = actor_for_user(user)
    assert actor.grants[PLATFORM] == GRANTS[Role.AUDITOR]
    assert actor.ids("region") == {region}


def test_suspension_leaves_reading_and_paying_and_closing_leaves_nothing() -> None:
    team = TeamFactory()
    admin = admin_of(team)
    suspend_team(actor=SYSTEM, team=team, reason="unpaid")
    assert actor_for_user(admin).grants[team.scope] == GRANTS[Role.TEAM_ADMIN] & WHILE_SUSPENDED
    tenancy.leave()
    resume_team(actor=SYSTEM, team=team)
    assert actor_for_user(admin).can(Permission.INSTANCE_CREATE, team.scope)
    tenancy.leave()
    close_team(actor=SYSTEM, team=team)
    assert actor_for_user(admin).grants == {}


def test_someone_shut_out_is_nobody() -> None:
    user = admin_of(TeamFactory())
    user.is_active = False
    assert actor_for_user(user).kind == "anonymous"


def test_foreign_rows_are_not_found() -> None:
    mine, foreign = TeamFactory(), TeamFactory()
    actor = actor_of(mine)
    invitation = invite_member(
        actor=actor_of(foreign), team=foreign, email="x@example.com", role=Role.TEAM_VIEWER
    ).invitation
    for read, pk in (
        (rows.team, foreign.pk),
        (rows.workspace, workspace_of(foreign).pk),
        (rows.member, foreign.memberships.get().pk),
        (rows.invitation, invitation.pk),
        (rows.api_key, key_of(foreign).key.pk),
        (rows.team, "team_nonsense"),
    ):
        with pytest.raises(NotFound):
            read(actor, pk)


def test_a_workspace_key_sees_its_workspace_only() -> None:
    from apps.teams.selectors.actors import actor_for_key
    from apps.teams.services import create_workspace

    team = TeamFactory()
    create_workspace(actor=actor_of(team), team=team, name="Production")
    issued = key_of(team, workspace=workspace_of(team))
    actor = actor_for_key(issued.secret, None)
    assert [one.slug for one in rows.workspaces(actor, team)] == ["default"]


def test_row_security_shows_a_person_their_team_and_nothing_else_to_raw_sql() -> None:
    mine, foreign = TeamFactory(), TeamFactory()
    for team in (mine, foreign):
        key_of(team)
        invite_member(actor=actor_of(team), team=team, email="x@example.com", role=Role.TEAM_VIEWER)
    everything = {table: ids_in(table) for table in TENANT_TABLES}
    actor_for_user(admin_of(mine))
    for model in (Team, Workspace, Membership, Invitation, ApiKey):
        owners = set(model.objects.values_list("id" if model is Team else "team_id", flat=True))
        assert owners == {mine.pk}, model
        assert ids_in(model._meta.db_table) < everything[model._meta.db_table]


def test_nobody_sees_nothing() -> None:
    TeamFactory()
    tenancy.enter_as_user(None)
    for table in [*TENANT_TABLES, "users_sshkey", "audit_record"]:
        assert ids_in(table) == set()


def test_row_security_refuses_to_write_for_another_team() -> None:
    mine, foreign = TeamFactory(), TeamFactory()
    actor_for_user(admin_of(mine))
    with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
        Workspace.objects.create(team_id=foreign.pk, name="x", slug="x")
    with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
        Membership.objects.create(team_id=foreign.pk, user=admin_of(mine), role=Role.TEAM_ADMIN)
    assert Team.objects.filter(pk=foreign.pk).update(name="taken") == 0


def test_before_anything_else_a_person_learns_their_own_memberships_and_only_to_read() -> None:
    team, _foreign = TeamFactory(), TeamFactory()
    user = member_of(team)
    tenancy.enter_as_user(user.pk)
    assert ids_in("teams_team") == {decode("team", team.pk)}
    assert Membership.objects.count() == 1
    assert Membership.objects.update(role=Role.TEAM_ADMIN) == 0
    assert Workspace.objects.count() == 0


def test_ssh_keys_are_their_persons() -> None:
    first, second = UserFactory(), UserFactory()
    for user in (first, second):
        SshKey.objects.create(user=user, name="k", kind="ssh-ed25519", public_key="x", fingerprint="f")
    tenancy.enter_as_user(first.pk)
    assert [key.user_id for key in SshKey.objects.all()] == [first.pk]


def test_every_table_of_tenants_is_forced_under_row_security() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity")
        secured = {row[0] for row in cursor.fetchall()}
    assert {*TENANT_TABLES, "users_sshkey", "audit_record"} <= secured
