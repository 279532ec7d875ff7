"""Webhooks: the team's events, sent to addresses of its own."""

from typing import Any

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, TeamViewSet
from apps.api.fields import In, Nothing, Out, RowOut
from apps.api.people import require_recent_proof
from apps.core.permissions import Permission
from apps.operations import selectors, services
from apps.operations.models import Webhook
from apps.operations.services import IssuedSecret
from apps.operations.specs import HookWish

TYPES_HELP = "`budget.*` for all of a kind, `invoice.paid` for one, `*` for everything."


class WebhookIn(In):
    name = serializers.CharField(max_length=80)
    url = serializers.CharField(max_length=500, help_text="A public address over TLS: `https://…`.")
    types = serializers.ListField(
        child=serializers.CharField(max_length=80), allow_empty=False, help_text=TYPES_HELP
    )


class WebhookChangeIn(In):
    name = serializers.CharField(max_length=80, required=False)
    url = serializers.CharField(max_length=500, required=False)
    types = serializers.ListField(
        child=serializers.CharField(max_length=80), allow_empty=False, required=False, help_text=TYPES_HELP
    )


class ResumeIn(In):
    is_from_now = serializers.BooleanField(
        required=False, default=False, help_text="Leave out what happened while it was paused."
    )


class AttemptOut(Out):
    """One attempt to deliver an event. `status` is null when nobody answered; then `problem` says why."""

    event = serializers.CharField()
    type = serializers.CharField()
    at = serializers.DateTimeField()
    number = serializers.IntegerField()
    status = serializers.IntegerField(allow_null=True)
    seconds = serializers.FloatField()
    problem = serializers.CharField()


class WebhookOut(RowOut):
    """An address and what it gets. `attempts` are the last twenty, newest first; `next_attempt_at` only while
    something could not be delivered."""

    types = serializers.ListField(child=serializers.CharField())
    attempts = AttemptOut(source="tries", many=True)
    next_attempt_at = serializers.DateTimeField(allow_null=True)

    class Meta:
        model = Webhook
        fields = (
            "id", "name", "url", "types", "state", "paused_because", "last_status", "last_delivered_at",
            "next_attempt_at", "attempts", "created_by_label", "created_at",
        )  # fmt: skip


class SecretOut(Out):
    """A webhook with its secret, which is shown this once. It signs as Standard Webhooks say."""

    webhook = WebhookOut()
    secret = serializers.CharField(help_text="`whsec_…`")


class WebhookViewSet(TeamViewSet):
    """Addresses that the team's events are sent to: in order, signed, and until they are accepted."""

    id_prefix = "whk"
    calls = {
        "list": Call(Permission.WEBHOOK_READ, WebhookOut, summary="List webhooks"),
        "create": Call(Permission.WEBHOOK_MANAGE, SecretOut, WebhookIn, 201, summary="Make a webhook"),
        "retrieve": Call(Permission.WEBHOOK_READ, WebhookOut, summary="Look at a webhook"),
        "partial_update": Call(
            Permission.WEBHOOK_MANAGE, WebhookOut, WebhookChangeIn, summary="Change a webhook"
        ),
        "destroy": Call(Permission.WEBHOOK_MANAGE, status=204, summary="Delete a webhook"),
        "test": Call(Permission.WEBHOOK_MANAGE, WebhookOut, Nothing, 202, summary="Send a test event"),
        "pause": Call(Permission.WEBHOOK_MANAGE, WebhookOut, Nothing, summary="Pause a webhook"),
        "resume": Call(Permission.WEBHOOK_MANAGE, WebhookOut, ResumeIn, summary="Resume a webhook"),
        "rotate": Call(Permission.WEBHOOK_MANAGE, SecretOut, Nothing, summary="Give it a new secret"),
    }

    def _wrap(self, request: Request) -> None:
        """An answer with a secret is not kept for a repeat; whoever lost one makes a new secret."""
        if self.action not in {"create", "rotate"}:
            super()._wrap(request)

    def list(self, request: Request) -> Response:
        return self.page(selectors.list_webhooks(actor=self.actor))

    def create(self, request: Request) -> Response:
        """It gets what happens from now on. The secret is in this answer only."""
        wish = HookWish(**self.body())
        require_recent_proof(self)
        return self._issued(services.create_webhook(actor=self.actor, team=self.team, wish=wish))

    def retrieve(self, request: Request, id: str) -> Response:
        return self.answer(self._find(id))

    def partial_update(self, request: Request, id: str) -> Response:
        """What waits is tried at once."""
        webhook = self.unchanged(self._find(id))
        changes: dict[str, Any] = self.body()
        return self.answer(services.change_webhook(actor=self.actor, webhook_id=webhook.pk, **changes))

    def destroy(self, request: Request, id: str) -> Response:
        """What waits is dropped."""
        services.delete_webhook(actor=self.actor, webhook_id=self.id_of("whk", id))
        return self.answer()

    @action(detail=True, methods=["post"])
    def test(self, request: Request, id: str) -> Response:
        """An event `webhook.test`, behind what waits; what waits is tried at once."""
        self.body()
        return self.answer(services.send_test(actor=self.actor, webhook_id=self.id_of("whk", id)))

    @action(detail=True, methods=["post"])
    def pause(self, request: Request, id: str) -> Response:
        """What happens meanwhile waits for 30 days."""
        self.body()
        return self.answer(services.pause_webhook(actor=self.actor, webhook_id=self.id_of("whk", id)))

    @action(detail=True, methods=["post"])
    def resume(self, request: Request, id: str) -> Response:
        """It goes on where it stopped, or from now."""
        how = self.body()
        return self.answer(services.resume_webhook(actor=self.actor, webhook_id=self.id_of("whk", id), **how))

    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, id: str) -> Response:
        """For a day the secret before signs too. The new one is in this answer only."""
        self.body()
        require_recent_proof(self)
        return self._issued(services.rotate_webhook(actor=self.actor, webhook_id=self.id_of("whk", id)))

    def _find(self, text: str) -> Webhook:
        return selectors.get_webhook(actor=self.actor, webhook_id=self.id_of("whk", text))

    def _issued(self, issued: IssuedSecret) -> Response:
        response = self.answer(issued)
        response.headers["Cache-Control"] = "no-store"
        return response
