"""Keys: the team's API keys, and one's own SSH keys."""

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, PersonViewSet, TeamViewSet
from apps.api.fields import In, RowOut, TypedIdField
from apps.api.people import IssuedOut, KeyActions, KeyIn, KeyOut, key_calls
from apps.api.rate_limits import RateLimitIn
from apps.core.permissions import Permission
from apps.teams.selectors import rows
from apps.users import selectors, services
from apps.users.models import SshKey


class TeamKeyIn(RateLimitIn, KeyIn):
    """What the key may do, until when, from where, how often, and in which workspace (all, when not said)."""

    workspace_id = TypedIdField("wks", required=False, allow_null=True)


class ApiKeyViewSet(KeyActions, TeamViewSet):
    """The team's API keys. A key may do what its scopes name and its maker still may."""

    calls = {
        "list": Call(Permission.API_KEY_READ, KeyOut, summary="List API keys"),
        "create": Call(Permission.API_KEY_MANAGE, IssuedOut, TeamKeyIn, 201, summary="Make an API key"),
        "retrieve": Call(Permission.API_KEY_READ, KeyOut, summary="Look at an API key"),
        **key_calls(Permission.API_KEY_MANAGE),
    }

    def list(self, request: Request) -> Response:
        """Ended ones too."""
        return self.page(rows.api_keys(self.actor, self.team))

    def create(self, request: Request) -> Response:
        """The secret is in this answer only."""
        body = self.body()
        chosen = body.get("workspace_id") or self.actor.workspace_id
        workspace = rows.workspace(self.actor, chosen) if chosen else None
        return self.issue(body, self.team, workspace)

    def retrieve(self, request: Request, id: str) -> Response:
        return self.answer(rows.api_key(self.actor, self.id_of("key", id)))


class SshKeyIn(In):
    name = serializers.CharField(max_length=80, required=False, allow_blank=True)
    public_key = serializers.CharField(max_length=16_384, help_text="One line, as in a .pub file.")


class SshKeyOut(RowOut):
    class Meta:
        model = SshKey
        fields = ("id", "name", "kind", "public_key", "fingerprint", "created_at")


class SshKeyViewSet(PersonViewSet):
    """One's own SSH keys."""

    id_prefix = "ssh"
    calls = {
        "list": Call(None, SshKeyOut, summary="List SSH keys"),
        "create": Call(None, SshKeyOut, SshKeyIn, 201, summary="Add an SSH key"),
        "retrieve": Call(None, SshKeyOut, summary="Look at an SSH key"),
        "destroy": Call(None, status=204, summary="Delete an SSH key"),
    }

    def list(self, request: Request) -> Response:
        return self.page(selectors.ssh_keys(self.actor))

    def create(self, request: Request) -> Response:
        """Read strictly and written anew: no options, no comment, no private keys."""
        body = self.body()
        key = services.add_ssh_key(actor=self.actor, name=body.get("name", ""), public_key=body["public_key"])
        return self.answer(key)

    def retrieve(self, request: Request, id: str) -> Response:
        return self.answer(selectors.ssh_key(self.actor, self.id_of("ssh", id)))

    def destroy(self, request: Request, id: str) -> Response:
        """Machines that have it keep it."""
        services.delete_ssh_key(actor=self.actor, key=selectors.ssh_key(self.actor, self.id_of("ssh", id)))
        return self.answer()
