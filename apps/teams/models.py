"""Tenants: teams, who is in them, what they divide into, and the keys that act for them."""

from datetime import datetime
from typing import ClassVar

import pgtrigger
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now
from django.utils.translation import gettext_lazy as _

from apps.core.actor import Scope, team_scope
from apps.core.ids import IdField
from apps.core.money import DEFAULT_CURRENCY
from apps.core.permissions import TEAM_ROLES, Permission, Role
from apps.core.tenancy import TenantQuerySet
from apps.teams.states import TEAM, TeamState
from apps.users.models import User


class TeamQuerySet(TenantQuerySet):
    read_permission = Permission.TEAM_READ
    team_path = "id"


class Team(models.Model):
    """A tenant, and who pays."""

    id = IdField("team", primary_key=True)
    name = models.CharField(_("name"), max_length=80)
    slug = models.SlugField(_("address"), max_length=40, unique=True)
    state = models.CharField(_("state"), max_length=16, choices=TeamState.choices, default=TeamState.ACTIVE)
    currency = models.CharField(_("currency"), max_length=3, default=DEFAULT_CURRENCY)
    suspended_at = models.DateTimeField(null=True)
    suspended_because = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(_("created"), db_default=Now())

    objects = TeamQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=TeamState.values), name="teams_state"),
        ]
        triggers: ClassVar = [
            pgtrigger.FSM(name="states", field="state", transitions=TEAM.edges()),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def scope(self) -> Scope:
        return team_scope(self.pk)


class WorkspaceQuerySet(TenantQuerySet):
    read_permission = Permission.WORKSPACE_READ
    workspace_path = "id"


class Workspace(models.Model):
    """An environment inside a team; resources, keys and limits belong to one."""

    id = IdField("wks", primary_key=True)
    team = models.ForeignKey(Team, models.CASCADE, related_name="workspaces")
    name = models.CharField(_("name"), max_length=60)
    slug = models.SlugField(_("address"), max_length=40)
    created_at = models.DateTimeField(_("created"), db_default=Now())

    objects = WorkspaceQuerySet.as_manager()

    class Meta:
        ordering = ("created_at", "id")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["team", "slug"], name="teams_workspace_slug")
        ]

    def __str__(self) -> str:
        return self.name


class MembershipQuerySet(TenantQuerySet):
    read_permission = Permission.MEMBER_READ


class Membership(models.Model):
    """A person in a team, with one role."""

    id = IdField("mem", primary_key=True)
    team = models.ForeignKey(Team, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    role = models.CharField(_("role"), max_length=32, choices=[(r, r) for r in TEAM_ROLES])
    created_at = models.DateTimeField(_("joined"), db_default=Now())

    objects = MembershipQuerySet.as_manager()

    class Meta:
        ordering = ("created_at", "id")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["team", "user"], name="teams_member_once"),
            models.CheckConstraint(condition=Q(role__in=[*TEAM_ROLES]), name="teams_member_role"),
        ]
        triggers: ClassVar = [
            # A team that is not closed keeps an admin. Racing transactions wait for each other on the
            # team's lock at commit and then count what is really left; whoever cannot see that is refused.
            pgtrigger.Trigger(
                name="last_team_admin",
                level=pgtrigger.Row,
                when=pgtrigger.After,
                operation=pgtrigger.Update | pgtrigger.Delete,
                condition=pgtrigger.Q(old__role=Role.TEAM_ADMIN.value),
                timing=pgtrigger.Deferred,
                func="""
                    PERFORM pg_advisory_xact_lock(hashtextextended('hostedai.team_admin.' || OLD.team_id, 0));
                    IF NOT EXISTS (SELECT 1 FROM teams_team WHERE id = OLD.team_id AND state = 'closed')
                       AND NOT EXISTS (SELECT 1 FROM teams_membership
                                       WHERE team_id = OLD.team_id AND role = 'team_admin') THEN
                        RAISE EXCEPTION 'the last admin of a team cannot go'
                            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'teams_last_admin';
                    END IF;
                    RETURN NULL;
                """,
            )
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.role}"

    @property
    def name(self) -> str:
        return self.user.label


class InvitationQuerySet(TenantQuerySet):
    read_permission = Permission.MEMBER_READ

    def pending(self, now: datetime) -> "InvitationQuerySet":
        return self.filter(accepted_at=None, revoked_at=None, expires_at__gt=now)


class Invitation(models.Model):
    """An offer to join, good once and for a while; of its secret only the hash is kept."""

    id = IdField("ivt", primary_key=True)
    team = models.ForeignKey(Team, models.CASCADE, related_name="invitations")
    email = models.EmailField(_("e-mail address"))
    role = models.CharField(_("role"), max_length=32, choices=[(r, r) for r in TEAM_ROLES])
    invited_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    secret_hash = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(_("sent"), db_default=Now())
    expires_at = models.DateTimeField(_("expires"))
    accepted_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")
        constraints: ClassVar = [
            models.UniqueConstraint(
                "team",
                Lower("email"),
                name="teams_one_open_invitation",
                condition=Q(accepted_at=None, revoked_at=None),
            ),
            models.CheckConstraint(condition=Q(role__in=[*TEAM_ROLES]), name="teams_invitation_role"),
        ]

    def __str__(self) -> str:
        return self.email


class ApiKeyQuerySet(TenantQuerySet):
    read_permission = Permission.API_KEY_READ
    workspace_path = "workspace_id"

    def live(self, now: datetime) -> "ApiKeyQuerySet":
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)


class ApiKey(models.Model):
    """A key for programs. It may do what its scopes name and its creator still may; no more.

    Without a team it is a staff member's key. `prefix` finds it, `hash` (SHA-256) proves it.
    """

    id = IdField("key", primary_key=True)
    team = models.ForeignKey(Team, models.CASCADE, null=True, related_name="api_keys")
    workspace = models.ForeignKey(Workspace, models.CASCADE, null=True, related_name="api_keys")
    user = models.ForeignKey(User, models.CASCADE, related_name="api_keys")
    name = models.CharField(_("name"), max_length=80)
    prefix = models.CharField(max_length=20, unique=True)
    hash = models.CharField(max_length=64, unique=True)
    scopes = ArrayField(models.CharField(max_length=40))
    allowed_networks = ArrayField(models.CharField(max_length=43), default=list, blank=True)
    single_use = models.BooleanField(default=False)
    rotated_from = models.ForeignKey("self", models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(_("created"), db_default=Now())
    expires_at = models.DateTimeField(_("expires"), null=True)
    last_used_at = models.DateTimeField(_("last used"), null=True)
    revoked_at = models.DateTimeField(null=True)
    # What it may name in `model` at the gateway; empty: whatever its team may. Last, for it hides the module.
    models = ArrayField(models.CharField(max_length=63), default=list, blank=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(workspace=None) | Q(team__isnull=False), name="teams_key_workspace_has_team"
            ),
        ]

    def __str__(self) -> str:
        return self.name
