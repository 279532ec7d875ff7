"""Teams, members, invitations and workspaces: what is allowed, what follows, what the database refuses."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from threading import Barrier
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client

from apps.audit.models import Record
from apps.core.actor import PLATFORM, SYSTEM, Actor
from apps.core.clock import db_now
from apps.core.errors import Conflict, DomainError, Invalid, NotFound, NotPermitted
from apps.core.permissions import GRANTS, Permission, Role
from apps.core.states import IllegalTransition
from apps.teams import services, signals
from apps.teams.errors import BadInvitation, LastAdmin, ScopeExceeded
from apps.teams.models import Invitation, Membership, Team
from apps.users.models import User
from tests.factories.teams import TeamFactory, actor_of, admin_of, key_of, member_of, workspace_of
from tests.factories.users import UserFactory


def person(user: User) -> Actor:
    return Actor(user.label, kind="user", user_id=user.pk)


def token_in(url: str) -> str:
    return url.rpartition("/")[2]


@pytest.mark.django_db
class TestTeams:
    def test_a_new_team_has_an_admin_a_workspace_a_record_and_is_announced(self) -> None:
        heard: list[Any] = []

        def listen(team: Team, **_: object) -> None:
            heard.append(team.pk)

        signals.team_created.connect(listen)
        user = UserFactory()
        team = services.create_team(actor=person(user), name="  My   team ", owner=user)
        signals.team_created.disconnect(listen)
        assert (team.name, team.slug, team.state) == ("My team", "my-team", "active")
        assert team.memberships.get().role == Role.TEAM_ADMIN
        assert team.workspaces.get().slug == "default"
        assert Record.objects.get(action="team.created", target_id=team.pk).team_id == team.pk
        assert heard == [team.pk]

    def test_addresses_are_unique_and_never_reserved_words(self) -> None:
        slugs = {TeamFactory(name=name).slug for name in ("Twin", "Twin", "Account", "???")}
        assert len(slugs) == 4
        assert "account" not in slugs

    @pytest.mark.parametrize("name", ["", "   ", "x" * 81, "bell\x07"])
    def test_bad_names_are_refused(self, name: str) -> None:
        with pytest.raises(Invalid):
            TeamFactory(name=name)

    def test_one_person_makes_few_and_none_for_others(self) -> None:
        user = UserFactory()
        for _team in range(5):
            services.create_team(actor=person(user), name="T", owner=user)
        with pytest.raises(Conflict):
            services.create_team(actor=person(user), name="T", owner=user)
        with pytest.raises(NotPermitted):
            services.create_team(actor=person(user), name="T", owner=UserFactory())

    def test_suspending_is_for_staff_and_follows_the_table(self) -> None:
        team = TeamFactory()
        with pytest.raises(NotPermitted):
            services.suspend_team(actor=actor_of(team), team=team, reason="x")
        services.suspend_team(actor=SYSTEM, team=team, reason="unpaid")
        with pytest.raises(IllegalTransition):
            services.suspend_team(actor=SYSTEM, team=team, reason="again")
        services.close_team(actor=SYSTEM, team=team)
        with pytest.raises(IllegalTransition):
            services.resume_team(actor=SYSTEM, team=team)

    def test_the_database_holds_the_state_table_too(self) -> None:
        team = TeamFactory()
        services.close_team(actor=SYSTEM, team=team)
        with pytest.raises(Exception, match="Invalid transition"), transaction.atomic():
            Team.objects.filter(pk=team.pk).update(state="active")


@pytest.mark.django_db
class TestMembers:
    def test_only_admins_manage(self) -> None:
        team = TeamFactory()
        victim = team.memberships.get(user=member_of(team))
        for role in (Role.TEAM_MEMBER, Role.TEAM_BILLING, Role.TEAM_VIEWER):
            actor = actor_of(team, member_of(team, role))
            for refused in (
                lambda actor=actor: services.remove_member(actor=actor, member=victim),
                lambda actor=actor: services.change_role(actor=actor, member=victim, role=Role.TEAM_ADMIN),
                lambda actor=actor: services.invite_member(
                    actor=actor, team=team, email="x@example.com", role=Role.TEAM_ADMIN
                ),
            ):
                with pytest.raises(NotPermitted):
                    refused()

    @pytest.mark.parametrize("kind", ["key", "operator"])
    def test_nobody_gives_more_than_they_hold(self, kind: str) -> None:
        """Neither a key for managing members, nor staff who may not enter machines."""
        team = TeamFactory()
        member = team.memberships.get(user=member_of(team, Role.TEAM_VIEWER))
        grants = {
            "key": {team.scope: frozenset({Permission.MEMBER_MANAGE}) | GRANTS[Role.TEAM_VIEWER]},
            "operator": {PLATFORM: GRANTS[Role.OPERATOR]},
        }
        actor = Actor("narrow", grants[kind], kind=kind, user_id=admin_of(team).pk)
        stranger = UserFactory()
        for refused in (
            lambda: services.change_role(actor=actor, member=member, role=Role.TEAM_ADMIN),
            lambda: services.invite_member(
                actor=actor, team=team, email="x@example.com", role=Role.TEAM_ADMIN
            ),
            lambda: services.add_member(actor=actor, team=team, user=stranger, role=Role.TEAM_ADMIN),
        ):
            with pytest.raises((ScopeExceeded, NotPermitted)):
                refused()
        services.invite_member(actor=actor, team=team, email="x@example.com", role=Role.TEAM_VIEWER)
        assert not team.memberships.filter(role=Role.TEAM_ADMIN).exclude(user=admin_of(team)).exists()

    def test_the_last_admin_stays(self) -> None:
        team = TeamFactory()
        last = team.memberships.get()
        with pytest.raises(LastAdmin):
            services.change_role(actor=actor_of(team), member=last, role=Role.TEAM_MEMBER)
        with pytest.raises(LastAdmin):
            services.remove_member(actor=actor_of(team), member=last)
        with pytest.raises(LastAdmin):
            services.leave_team(actor=actor_of(team), team=team)
        member_of(team, Role.TEAM_ADMIN)
        services.leave_team(actor=actor_of(team, last.user), team=team)
        assert not team.memberships.filter(pk=last.pk).exists()

    def test_staff_roles_are_no_team_roles(self) -> None:
        team = TeamFactory()
        member = team.memberships.get(user=member_of(team))
        with pytest.raises(Invalid):
            services.change_role(actor=actor_of(team), member=member, role=Role.OPERATOR)

    def test_leaving_ends_ones_keys_and_strangers_cannot_leave(self) -> None:
        team = TeamFactory()
        user = member_of(team)
        issued = key_of(team, user=user)
        services.leave_team(actor=actor_of(team, user), team=team)
        issued.key.refresh_from_db()
        assert issued.key.revoked_at is not None
        with pytest.raises(NotFound):
            services.leave_team(actor=Actor("x", SYSTEM.grants, kind="user", user_id=user.pk), team=team)


@pytest.mark.django_db(transaction=True)
def test_two_admins_who_leave_at_once_cannot_both_go() -> None:
    team = TeamFactory()
    first, second = team.memberships.get(), team.memberships.get(user=member_of(team, Role.TEAM_ADMIN))
    gate = Barrier(2, timeout=60)

    def go(member: Membership) -> bool:
        try:
            with transaction.atomic():
                gate.wait()
                services.remove_member(actor=SYSTEM, member=member)
        except LastAdmin:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(2) as pool:
        went = list(pool.map(go, [first, second]))
    assert sorted(went) == [False, True]
    assert team.memberships.filter(role=Role.TEAM_ADMIN).count() == 1


@pytest.mark.django_db(transaction=True)
def test_raw_sql_cannot_take_the_last_admin_away_either() -> None:
    team = TeamFactory()
    with pytest.raises(IntegrityError), transaction.atomic():
        connection.cursor().execute("UPDATE teams_membership SET role = 'team_viewer'")
    assert team.memberships.get().role == Role.TEAM_ADMIN


@pytest.mark.django_db
class TestInvitations:
    def invite(self, team: Team, email: str = "new@example.com", role: Role = Role.TEAM_MEMBER) -> str:
        invited = services.invite_member(actor=actor_of(team), team=team, email=email, role=role)
        return token_in(invited.url)

    def test_the_invited_address_joins_once(self) -> None:
        team, user = TeamFactory(), UserFactory(email="new@example.com")
        token = self.invite(team, "New@Example.com")
        member = services.accept_invitation(actor=person(user), token=token)
        assert (member.team, member.role) == (team, Role.TEAM_MEMBER)
        with pytest.raises(BadInvitation):
            services.accept_invitation(actor=person(user), token=token)

    def test_it_is_mailed_after_the_commit_and_only_the_hash_is_kept(
        self, django_capture_on_commit_callbacks: Callable[..., Any]
    ) -> None:
        team = TeamFactory()
        with django_capture_on_commit_callbacks(execute=True):
            token = self.invite(team)
        assert token in mail.outbox[0].body
        assert mail.outbox[0].to == ["new@example.com"]
        assert token not in str(Invitation.objects.values().get())

    def test_another_or_an_unconfirmed_address_is_turned_away(self) -> None:
        token = self.invite(TeamFactory())
        for user in (UserFactory(), UserFactory(email="new@example.com", is_confirmed=False)):
            with pytest.raises(BadInvitation):
                services.accept_invitation(actor=person(user), token=token)

    def test_withdrawn_replaced_expired_and_forged_ones_are_refused(self) -> None:
        team, user = TeamFactory(), UserFactory(email="new@example.com")
        replaced = self.invite(team)
        withdrawn = self.invite(team)
        services.revoke_invitation(
            actor=actor_of(team), invitation=Invitation.objects.pending(db_now()).get()
        )
        expired = self.invite(team)
        Invitation.objects.pending(db_now()).update(expires_at=db_now())
        for token in (replaced, withdrawn, expired, expired[:-1], "x", ""):
            with pytest.raises(BadInvitation):
                services.accept_invitation(actor=person(user), token=token)
        assert not Membership.objects.filter(user=user).exists()

    def test_members_are_not_invited_and_addresses_are_checked(self) -> None:
        team = TeamFactory()
        with pytest.raises(Conflict):
            self.invite(team, admin_of(team).email)
        with pytest.raises(Invalid):
            self.invite(team, "nobody")
        with pytest.raises(Invalid):
            self.invite(team, role=Role.FULL_ADMINISTRATOR)

    def test_who_confirms_an_invited_address_joins_and_others_get_a_team_of_their_own(self) -> None:
        team = TeamFactory()
        self.invite(team)
        invited, other = UserFactory(email="new@example.com"), UserFactory(name="", email="ada@example.com")
        services.welcome_user(actor=person(invited), user=invited)
        services.welcome_user(actor=person(other), user=other)
        services.welcome_user(actor=person(other), user=other)
        assert [m.team for m in invited.memberships.all()] == [team]
        assert [m.team.name for m in other.memberships.all()] == ["ada"]

    def test_an_address_that_is_not_confirmed_joins_nothing(self) -> None:
        self.invite(TeamFactory())
        user = UserFactory(email="new@example.com")
        EmailAddress.objects.filter(user=user).update(verified=False)
        assert services.accept_open_invitations(actor=person(user), user=user) == []


@pytest.mark.django_db
class TestWorkspaces:
    def test_they_are_made_renamed_and_removed_but_for_the_last(self) -> None:
        team = TeamFactory()
        actor = actor_of(team)
        made = services.create_workspace(actor=actor, team=team, name="Production")
        assert services.rename_workspace(actor=actor, workspace=made, name="Live").slug == "production"
        services.delete_workspace(actor=actor, workspace=made)
        with pytest.raises(Conflict):
            services.delete_workspace(actor=actor, workspace=workspace_of(team))

    @pytest.mark.parametrize("name", ["", "???", "Default", "x" * 61])
    def test_bad_and_taken_names_are_refused(self, name: str) -> None:
        team = TeamFactory()
        with pytest.raises(DomainError):
            services.create_workspace(actor=actor_of(team), team=team, name=name)

    def test_members_do_not_manage_them(self) -> None:
        team = TeamFactory()
        with pytest.raises(NotPermitted):
            services.create_workspace(actor=actor_of(team, member_of(team)), team=team, name="x")


@pytest.mark.django_db
def test_the_command_for_the_first_administrator_prints_a_link_that_works(client: Client) -> None:
    out = StringIO()
    call_command("bootstrap_admin", "root@example.com", stdout=out)
    link = re.search(r"https?://[^/]+(/\S+)", out.getvalue())
    assert link
    arrived = client.get(link[1], follow=True)
    password = "a password nobody guesses"
    answer = client.post(arrived.request["PATH_INFO"], {"password1": password, "password2": password})
    assert answer.status_code == 302
    assert User.objects.get(email="root@example.com").check_password(password)
    with pytest.raises(CommandError):
        call_command("bootstrap_admin", "second@example.com", stdout=out)
