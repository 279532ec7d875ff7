"""Teams, people, staff, staff keys and the audit log, for the platform's staff."""

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, PlatformViewSet
from apps.api.fields import In, Nothing, RowOut, TypedIdField
from apps.api.people import (
    AuditActions,
    IssuedOut,
    KeyActions,
    KeyIn,
    KeyOut,
    PersonOut,
    TeamOut,
    key_calls,
    require_recent_proof,
)
from apps.core.errors import Invalid, NotFound
from apps.core.permissions import PLATFORM_ROLES, REGION_ROLES, Permission, Role
from apps.regions.models import Region
from apps.teams import services as teams
from apps.teams.selectors import rows
from apps.users import selectors
from apps.users import services as users
from apps.users.models import StaffRole, User

P = Permission


class TeamIn(In):
    """`owner_id` becomes its admin."""

    name = serializers.CharField(max_length=80)
    owner_id = TypedIdField("usr")
    currency = serializers.ChoiceField(choices=["EUR", "USD", "GBP", "CHF", "JPY"], required=False)


class NameIn(In):
    name = serializers.CharField(max_length=80)


class ReasonIn(In):
    reason = serializers.CharField(max_length=200)


class AdminTeamViewSet(PlatformViewSet):
    """Customers."""

    id_prefix = "team"
    calls = {
        "list": Call(P.TEAM_READ, TeamOut, summary="List teams"),
        "create": Call(P.TEAM_CREATE, TeamOut, TeamIn, 201, summary="Make a team"),
        "retrieve": Call(P.TEAM_READ, TeamOut, summary="Look at a team"),
        "partial_update": Call(P.TEAM_UPDATE, TeamOut, NameIn, summary="Rename a team"),
        "suspend": Call(P.TEAM_SUSPEND, TeamOut, ReasonIn, summary="Suspend a team"),
        "resume": Call(P.TEAM_SUSPEND, TeamOut, Nothing, summary="Resume a team"),
        "close": Call(P.TEAM_SUSPEND, TeamOut, Nothing, summary="Close a team"),
    }

    def list(self, request: Request) -> Response:
        return self.page(rows.teams(self.actor))

    def create(self, request: Request) -> Response:
        body = self.body()
        owner = selectors.people(self.actor).filter(pk=body.pop("owner_id")).first()
        if owner is None:
            raise Invalid("There is no such person.", field="owner_id")
        return self.answer(teams.create_team(actor=self.actor, owner=owner, **body))

    def retrieve(self, request: Request, id: str) -> Response:
        return self.answer(rows.team(self.actor, self.id_of("team", id)))

    def partial_update(self, request: Request, id: str) -> Response:
        body = self.body()
        team = self.unchanged(rows.team(self.actor, self.id_of("team", id)))
        return self.answer(teams.rename_team(actor=self.actor, team=team, name=body["name"]))

    @action(detail=True, methods=["post"])
    def suspend(self, request: Request, id: str) -> Response:
        """Its members may look and pay, nothing else."""
        reason = self.body()["reason"]
        team = rows.team(self.actor, self.id_of("team", id))
        return self.answer(teams.suspend_team(actor=self.actor, team=team, reason=reason))

    @action(detail=True, methods=["post"])
    def resume(self, request: Request, id: str) -> Response:
        self.body()
        return self.answer(
            teams.resume_team(actor=self.actor, team=rows.team(self.actor, self.id_of("team", id)))
        )

    @action(detail=True, methods=["post"])
    def close(self, request: Request, id: str) -> Response:
        """For good; its books stay."""
        self.body()
        return self.answer(
            teams.close_team(actor=self.actor, team=rows.team(self.actor, self.id_of("team", id)))
        )


class UserIn(In):
    email = serializers.EmailField()
    name = serializers.CharField(max_length=120, required=False, allow_blank=True)


class UserOut(RowOut):
    class Meta:
        model = User
        fields = ("id", "email", "name", "language", "time_zone", "is_active", "created_at", "last_login")


class UserViewSet(PlatformViewSet):
    """People."""

    id_prefix = "usr"
    calls = {
        "list": Call(P.USER_READ, UserOut, summary="List people"),
        "create": Call(P.USER_MANAGE, UserOut, UserIn, 201, summary="Register a person"),
        "retrieve": Call(P.USER_READ, UserOut, summary="Look at a person"),
        "deactivate": Call(P.USER_MANAGE, UserOut, ReasonIn, summary="Shut a person out"),
        "reactivate": Call(P.USER_MANAGE, UserOut, Nothing, summary="Let a person in again"),
        "end_sessions": Call(P.USER_MANAGE, UserOut, Nothing, summary="Sign a person out everywhere"),
    }

    def list(self, request: Request) -> Response:
        return self.page(selectors.people(self.actor))

    def create(self, request: Request) -> Response:
        """Without a password: they set one by a reset mail, which also proves the address."""
        body = self.body()
        return self.answer(
            users.register_user(actor=self.actor, email=body["email"], name=body.get("name", ""))
        )

    def retrieve(self, request: Request, id: str) -> Response:
        return self.answer(self._person(id))

    @action(detail=True, methods=["post"])
    def deactivate(self, request: Request, id: str) -> Response:
        """Sessions and keys end with the next request."""
        reason = self.body()["reason"]
        return self.answer(users.deactivate_user(actor=self.actor, user=self._person(id), reason=reason))

    @action(detail=True, methods=["post"])
    def reactivate(self, request: Request, id: str) -> Response:
        self.body()
        return self.answer(users.reactivate_user(actor=self.actor, user=self._person(id)))

    @action(detail=True, methods=["post"], url_path="end-sessions")
    def end_sessions(self, request: Request, id: str) -> Response:
        self.body()
        person = self._person(id)
        users.end_sessions(actor=self.actor, user=person)
        return self.answer(person)

    def _person(self, id: str) -> User:
        return selectors.person(self.actor, self.id_of("usr", id))


class StaffIn(In):
    """Region roles need `region`, platform roles have none."""

    user_id = TypedIdField("usr")
    role = serializers.ChoiceField(choices=[role.value for role in PLATFORM_ROLES + REGION_ROLES])
    region = serializers.CharField(max_length=40, required=False, allow_null=True, help_text="Its address.")


class StaffOut(RowOut):
    user = PersonOut(read_only=True)

    class Meta:
        model = StaffRole
        fields = ("id", "user", "role", "region_id", "region_slug", "granted_by", "created_at")


class StaffViewSet(PlatformViewSet):
    """Who runs the platform, and who runs which region."""

    id_prefix = "staff"
    calls = {
        "list": Call(P.STAFF_READ, StaffOut, summary="List staff roles"),
        "create": Call(P.STAFF_MANAGE, StaffOut, StaffIn, 201, summary="Grant a role"),
        "retrieve": Call(P.STAFF_READ, StaffOut, summary="Look at a staff role"),
        "destroy": Call(P.STAFF_MANAGE, status=204, summary="Revoke a role"),
    }

    def list(self, request: Request) -> Response:
        return self.page(selectors.staff_roles(self.actor))

    def create(self, request: Request) -> Response:
        """Granting what is held already changes nothing. In a browser one must have signed in just now."""
        require_recent_proof(self)
        body = self.body()
        user = selectors.people(self.actor).filter(pk=body["user_id"]).first()
        if user is None:
            raise Invalid("There is no such person.", field="user_id")
        region = self._region(body.get("region"))
        held = users.grant_staff_role(
            actor=self.actor,
            user=user,
            role=Role(body["role"]),
            region_id=region.pk if region else None,
            region_slug=region.slug if region else "",
        )
        return self.answer(held)

    def retrieve(self, request: Request, id: str) -> Response:
        return self.answer(selectors.staff_role(self.actor, self.id_of("staff", id)))

    def destroy(self, request: Request, id: str) -> Response:
        """The last full administrator stays (409 `last_administrator`)."""
        require_recent_proof(self)
        held = selectors.staff_role(self.actor, self.id_of("staff", id))
        users.revoke_staff_role(actor=self.actor, held=held)
        return self.answer()

    def _region(self, slug: str | None) -> Region | None:
        if not slug:
            return None
        found: Region | None = Region.objects.visible_to(self.actor).filter(slug=slug).first()
        if found is None:
            raise Invalid("There is no such region.", field="region")
        return found


class StaffKeyViewSet(KeyActions, PlatformViewSet):
    """One's own keys for the Admin and Cluster APIs."""

    calls = {
        "list": Call(None, KeyOut, summary="List one's staff keys"),
        "create": Call(None, IssuedOut, KeyIn, 201, summary="Make a staff key"),
        "retrieve": Call(None, KeyOut, summary="Look at a staff key"),
        **key_calls(None),
    }

    def list(self, request: Request) -> Response:
        return self.page(rows.staff_keys(self.actor))

    def create(self, request: Request) -> Response:
        """The secret is in this answer only."""
        return self.issue(self.body(), None)

    def retrieve(self, request: Request, id: str) -> Response:
        found = rows.staff_keys(self.actor).filter(pk=self.id_of("key", id)).first()
        if found is None:
            raise NotFound("no such key")
        return self.answer(found)


class AuditViewSet(AuditActions, PlatformViewSet):
    __doc__ = AuditActions.__doc__
