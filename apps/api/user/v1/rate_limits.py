"""Limits of the gateway that a team sets for its own workspaces and keys."""

from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, TeamViewSet
from apps.api.fields import TypedIdField
from apps.api.rate_limits import RateLimitFilters, RateLimitIn, RateLimitOut, limits_of
from apps.core.errors import Invalid
from apps.core.permissions import Permission
from apps.inference.selectors import limits as in_force
from apps.inference.services import limits
from apps.teams.selectors import rows


class SubjectIn(RateLimitIn):
    """Of a key, or of a workspace."""

    key_id = TypedIdField("key", required=False)
    workspace_id = TypedIdField("wks", required=False)


class RateLimitViewSet(TeamViewSet):
    """Requests per minute and tokens per day of keys and workspaces, within what the team may."""

    id_prefix = "lim"
    filters = RateLimitFilters
    calls = {
        "list": Call(Permission.LIMIT_READ, RateLimitOut, summary="List limits that were set"),
        "create": Call(Permission.LIMIT_MANAGE, RateLimitOut, SubjectIn, summary="Set a limit"),
    }

    def list(self, request: Request) -> Response:
        return self.page(in_force.list_limits(actor=self.actor))

    def create(self, request: Request) -> Response:
        """Replaces what was set before. Effective within five seconds."""
        body = self.body()
        wanted = limits_of(body)
        if ("key_id" in body) == ("workspace_id" in body):
            raise Invalid("Name a key or a workspace.", field="key_id")
        if "key_id" in body:
            key = rows.api_key(self.actor, body["key_id"])
            return self.answer(limits.set_key(actor=self.actor, key=key, limits=wanted))
        workspace = rows.workspace(self.actor, body["workspace_id"])
        return self.answer(limits.set_workspace(actor=self.actor, workspace=workspace, limits=wanted))
