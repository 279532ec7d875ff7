"""The team's machines."""

from typing import Any

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, TeamViewSet
from apps.api.fields import In, Out, RowOut
from apps.api.instances import (
    InstanceActions,
    InstanceFilters,
    InstanceOut,
    calls_for,
    columns_of,
    item_maker,
)
from apps.core.errors import Invalid
from apps.core.permissions import Permission
from apps.instances import selectors, services
from apps.instances.models import Sample
from apps.instances.specs import InstanceSpec
from apps.teams.models import Workspace
from apps.teams.selectors.rows import workspace_named

DEFAULT_WORKSPACE = "default"
REFUSALS = (402, 503)


class WishIn(In):
    """What a machine is to be; `region`, `type` and `image` are short names."""

    name = serializers.CharField(max_length=63, help_text="Lower-case letters, digits and dashes.")
    region = serializers.CharField(max_length=40)
    type = serializers.CharField(max_length=60)
    image = serializers.CharField(max_length=60)
    disk_gib = serializers.IntegerField(
        required=False, min_value=1, max_value=16_384, help_text="Without it, the type's."
    )
    ssh_keys = serializers.ListField(
        child=serializers.CharField(max_length=8192),
        required=False,
        max_length=32,
        help_text="Public keys in OpenSSH format that may sign in.",
    )
    user_data = serializers.DictField(required=False, help_text="A cloud-init document, as JSON.")
    workspace = serializers.CharField(
        required=False,
        max_length=40,
        help_text="Address of the workspace; without it the key's, or `default`.",
    )


class NameIn(In):
    name = serializers.CharField(max_length=63)


class SizeIn(In):
    """Another type while it is stopped, a larger disk at any time."""

    type = serializers.CharField(required=False, max_length=60)
    disk_gib = serializers.IntegerField(required=False, min_value=1, max_value=16_384)


class TicketIn(In):
    """`origin` is that of the page that will open the WebSocket."""

    origin = serializers.CharField(max_length=255)


class TicketOut(Out):
    """Good once, for 30 seconds; say it as the WebSocket's subprotocol."""

    ticket = serializers.CharField()

    def to_representation(self, instance: Any) -> Any:
        return {"ticket": str(instance)}


class SampleOut(RowOut):
    """The hypervisor's counters at a moment, totals since the machine came up; of each GPU use and memory in
    percent, where it can tell."""

    class Meta:
        model = Sample
        fields = (
            "at",
            "cpu_ns",
            "memory_used_mib",
            "memory_total_mib",
            "net_rx_bytes",
            "net_tx_bytes",
            "disk_read_bytes",
            "disk_write_bytes",
            "gpu_busy",
            "gpu_memory",
        )


class MetricsOut(Out):
    """The last hour, oldest first."""

    samples = SampleOut(many=True)


class GateOut(Out):
    """One question that a launch must pass."""

    code = serializers.CharField()
    ok = serializers.BooleanField()
    asked = serializers.CharField()
    left = serializers.CharField()
    message = serializers.CharField()


class ExplanationOut(Out):
    """Why a launch would pass or not, and the nearest one that would."""

    ok = serializers.BooleanField()
    gates = GateOut(many=True)
    nearest = serializers.DictField(allow_null=True)

    def to_representation(self, instance: Any) -> Any:
        return instance.as_json()


class InstanceViewSet(InstanceActions, TeamViewSet):
    """Machines of the team. What takes long answers 202; follow its `operation_id`."""

    filters = InstanceFilters
    columns = columns_of(InstanceOut)
    make_item = staticmethod(item_maker(InstanceOut))
    calls = {
        **calls_for(InstanceOut),
        "create": Call(
            Permission.INSTANCE_CREATE, InstanceOut, WishIn, 202, "Launch an instance", own_errors=REFUSALS
        ),
        "explain": Call(Permission.INSTANCE_READ, ExplanationOut, WishIn, summary="Ask why, or why not"),
        "partial_update": Call(Permission.INSTANCE_UPDATE, InstanceOut, NameIn, summary="Rename an instance"),
        "destroy": Call(Permission.INSTANCE_DELETE, InstanceOut, None, 202, "Delete an instance"),
        "resize": Call(
            Permission.INSTANCE_UPDATE, InstanceOut, SizeIn, 202, "Resize an instance", own_errors=REFUSALS
        ),
        "metrics": Call(Permission.INSTANCE_READ, MetricsOut, summary="See how busy it is"),
        "terminal": Call(Permission.INSTANCE_ACCESS, TicketOut, TicketIn, 201, "Get a ticket for a terminal"),
        "console": Call(
            Permission.INSTANCE_ACCESS, TicketOut, TicketIn, 201, "Get a ticket for the serial console"
        ),
    }

    def create(self, request: Request) -> Response:
        """Accepted when rules, money and room allow; otherwise the problem carries an `explanation`."""
        workspace, spec = self._wish()
        instance = services.create_instance(actor=self.actor, team=self.team, workspace=workspace, spec=spec)
        return self.answer(instance)

    @action(detail=False, methods=["post"])
    def explain(self, request: Request) -> Response:
        """Changes nothing: every question a launch must pass, and the nearest launch that would."""
        _workspace, spec = self._wish()
        return self.answer(selectors.explain(actor=self.actor, team=self.team, spec=spec))

    def partial_update(self, request: Request, id: str) -> Response:
        """Its host name inside stays."""
        instance = self.unchanged(selectors.get_instance(actor=self.actor, instance_id=self.id_of("ins", id)))
        services.rename_instance(actor=self.actor, instance_id=instance.pk, **self.body())
        return self.retrieve(request, id)

    def destroy(self, request: Request, id: str) -> Response:
        """For good, whatever it is doing. It counts as gone once that is proven."""
        services.delete_instance(actor=self.actor, instance_id=self.id_of("ins", id))
        return self.retrieve(request, id)

    @action(detail=True, methods=["post"])
    def resize(self, request: Request, id: str) -> Response:
        """The larger of both sizes is reserved until it is done."""
        given = self.body()
        services.resize_instance(
            actor=self.actor,
            instance_id=self.id_of("ins", id),
            type_slug=given.get("type"),
            disk_gib=given.get("disk_gib"),
        )
        return self.retrieve(request, id)

    @action(detail=True)
    def metrics(self, request: Request, id: str) -> Response:
        """At most 240 points."""
        found = selectors.get_instance(actor=self.actor, instance_id=self.id_of("ins", id))
        return self.answer({"samples": selectors.samples(actor=self.actor, instance_id=found.pk)})

    @action(detail=True, methods=["post"])
    def terminal(self, request: Request, id: str) -> Response:
        """A shell on the machine, in the browser."""
        return self._ticket(services.issue_terminal_ticket, id)

    @action(detail=True, methods=["post"])
    def console(self, request: Request, id: str) -> Response:
        """What the machine itself prints and reads."""
        return self._ticket(services.issue_console_ticket, id)

    def _ticket(self, issue: Any, id: str) -> Response:
        asked: dict[str, Any] = {"instance_id": self.id_of("ins", id), **self.body()}
        return self.answer(issue(actor=self.actor, **asked))

    def _wish(self) -> tuple[Workspace, InstanceSpec]:
        given = self.body()
        slug = given.pop("workspace", None)
        if slug is None and not self.actor.workspace_id:
            slug = DEFAULT_WORKSPACE
        found = workspace_named(self.actor, self.team, slug, self.call.permission)
        if found is None:
            raise Invalid("There is no such workspace.", field="workspace", code="no_such_workspace")
        return found, InstanceSpec(**given)
