"""People, keys and the audit log as more than one API shows them."""

import time
from datetime import timedelta
from typing import Any

import django_filters
from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import ApiViewSet, Call
from apps.api.fields import In, Nothing, Out, RowOut
from apps.api.rate_limits import limits_of
from apps.audit import selectors as audit
from apps.audit.models import Record
from apps.core.errors import NotFound, NotPermitted
from apps.core.permissions import Permission
from apps.inference.services import limits
from apps.teams import services
from apps.teams.models import ApiKey, Membership, Team, Workspace
from apps.teams.selectors import rows
from apps.teams.services import IssuedKey
from apps.teams.specs import KeyWish
from apps.users.selectors import proven_at


class TeamOut(RowOut):
    """A team; `slug` is its address."""

    class Meta:
        model = Team
        fields = (
            "id",
            "name",
            "slug",
            "state",
            "currency",
            "suspended_at",
            "suspended_because",
            "created_at",
        )


class PersonOut(Out):
    """Somebody, as fellow members see them."""

    id = serializers.CharField()
    email = serializers.CharField()
    name = serializers.CharField()


class MemberOut(RowOut):
    user = PersonOut(read_only=True)

    class Meta:
        model = Membership
        fields = ("id", "user", "role", "created_at")


class AuditFilters(django_filters.FilterSet):
    """What the audit log may be asked for."""

    action = django_filters.CharFilter()
    target = django_filters.CharFilter(field_name="target_id")
    user = django_filters.CharFilter(field_name="user_id", method="by_user")
    since = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")

    def by_user(self, found: Any, _name: str, value: str) -> Any:
        return found.filter(actor_kind="user", user_id=value) if value.startswith("usr_") else found.none()


class RecordOut(RowOut):
    """One thing that was done. Records are never changed."""

    class Meta:
        model = Record
        fields = (
            "id", "at", "action", "actor_kind", "actor_label", "user_id", "key_id", "ip", "request_id",
            "target_type", "target_id", "target_label", "team_id", "workspace_id", "region_id", "data",
        )  # fmt: skip


class AuditActions(ApiViewSet, abstract=True):
    """Everything that was done, by whom."""

    id_prefix = "aud"
    filters = AuditFilters
    calls = {
        "list": Call(Permission.AUDIT_READ, RecordOut, summary="List audit records"),
        "retrieve": Call(Permission.AUDIT_READ, RecordOut, summary="Look at an audit record"),
    }

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(audit.records(self.actor))

    def retrieve(self, request: Request, id: str) -> Response:
        found = audit.records(self.actor).filter(pk=self.id_of("aud", id)).first()
        if found is None:
            raise NotFound("no such record")
        return self.answer(found)


class KeyOut(RowOut):
    """An API key without its secret; `prefix` is what it begins with."""

    made_by = serializers.CharField(source="user.email", read_only=True)

    class Meta:
        model = ApiKey
        fields = (
            "id", "name", "prefix", "workspace_id", "scopes", "allowed_networks", "models", "made_by",
            "created_at", "expires_at", "last_used_at", "revoked_at",
        )  # fmt: skip


class IssuedOut(Out):
    """A new key. `secret` is told here and never again."""

    key = KeyOut(read_only=True)
    secret = serializers.CharField()

    def to_representation(self, issued: Any) -> Any:
        return {"key": KeyOut(issued.key, context=self.context).data, "secret": issued.secret}


class KeyIn(In):
    """What the key may do, until when and from where."""

    name = serializers.CharField(max_length=80)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=[one.value for one in Permission]),
        allow_empty=False,
        max_length=100,
    )
    expires_at = serializers.DateTimeField(required=False, allow_null=True)
    allowed_networks = serializers.ListField(
        child=serializers.CharField(max_length=43),
        required=False,
        max_length=50,
        help_text="Addresses or networks.",
    )
    models = serializers.ListField(
        child=serializers.CharField(max_length=63),
        required=False,
        max_length=100,
        help_text="Names of models it may ask at the gateway; none: all of the team's.",
    )


class RotateIn(In):
    """How long the old key still works."""

    overlap_seconds = serializers.IntegerField(required=False, min_value=0, max_value=7 * 86_400)


def wish_of(data: dict[str, Any]) -> KeyWish:
    return KeyWish(
        name=data["name"],
        scopes=frozenset(data["scopes"]),
        expires_at=data.get("expires_at"),
        allowed_networks=tuple(data.get("allowed_networks", ())),
        models=tuple(data.get("models", ())),
    )


class KeyActions(ApiViewSet, abstract=True):
    """API keys: what programs sign in with."""

    id_prefix = "key"

    def _wrap(self, request: Request) -> None:
        """No answer of these is kept for a repeat: it may hold a secret. A lost one is a key to revoke."""
        if request.method != "POST":
            super()._wrap(request)

    def issue(self, data: dict[str, Any], team: Team | None, workspace: Workspace | None = None) -> Response:
        require_recent_proof(self)
        issued = limits.create_key(
            actor=self.actor, team=team, wish=wish_of(data), limits=limits_of(data), workspace=workspace
        )
        return self.told(issued)

    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, id: str) -> Response:
        """A successor with the same rights; the old key ends after the overlap: a day, or as said."""
        seconds = self.body().get("overlap_seconds", 86_400)
        require_recent_proof(self)
        key = rows.api_key(self.actor, self.id_of("key", id))
        return self.told(
            services.rotate_api_key(actor=self.actor, key=key, overlap=timedelta(seconds=seconds))
        )

    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, id: str) -> Response:
        """It ends now, everywhere; again is harmless."""
        self.body()
        key = rows.api_key(self.actor, self.id_of("key", id))
        return self.answer(services.revoke_api_key(actor=self.actor, key=key))

    def told(self, issued: IssuedKey) -> Response:
        response = self.answer(issued)
        response.headers["Cache-Control"] = "no-store"
        return response


def require_recent_proof(view: ApiViewSet) -> None:
    """A browser's session must be fresh to hand out rights; keys that may do so are trusted with it."""
    if view.actor.kind != "user":
        return
    proven = proven_at(view.request.session, str(view.actor.user_id))
    if time.time() - proven >= settings.ACCOUNT_REAUTHENTICATION_TIMEOUT:
        raise NotPermitted(_("Confirm who you are first: sign in again."), code="reauthentication_required")


def key_calls(permission: Permission | None) -> dict[str, Call]:
    """The calls that every audience's keys have; the services check what may be done to whose key."""
    return {
        "rotate": Call(permission, IssuedOut, RotateIn, 201, summary="Rotate a key"),
        "revoke": Call(permission, KeyOut, Nothing, summary="Revoke a key"),
    }
