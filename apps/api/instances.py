"""Instances as the APIs show them: one table of columns makes lists and single objects alike."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import django_filters
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import ApiViewSet, Call
from apps.api.fields import MoneyField, Nothing, Out, TypedIdField
from apps.core.money import plain
from apps.core.permissions import Permission
from apps.instances import selectors, services
from apps.instances.states import Desired, Health, State

# What everybody sees: the name in the answer, and where it comes from.
COMMON: Mapping[str, str] = {
    "id": "id",
    "name": "name",
    "state": "state",
    "desired": "desired",
    "health": "health",
    "message": "message",
    "region": "region__slug",
    "workspace": "workspace__slug",
    "type": "type__slug",
    "image": "image__slug",
    "vcpus": "vcpus",
    "memory_mib": "memory_mib",
    "disk_gib": "disk_gib",
    "gpus": "gpus",
    "gpu_model": "type__gpu_model__slug",
    "address": "address",
    "ssh_port": "ssh_port",
    "user": "user",
    "host_key": "host_key",
    "hourly": "hourly",
    "currency": "currency",
    "operation_id": "operation_id",
    "created_by": "created_by_label",
    "created_at": "created_at",
    "started_at": "started_at",
    "deleted_at": "deleted_at",
}

# What the staff of a region sees beside it. Not the workspace: its row is the team's, and joining it would
# hide the machine from them.
REGIONAL: Mapping[str, str] = {
    **{name: source for name, source in COMMON.items() if name not in {"hourly", "currency", "workspace"}},
    "team": "team_name",
    "team_id": "team_id",
    "cluster": "cluster__slug",
    "node": "node__name",
    "pci_addresses": "pci_addresses",
    "attempts": "attempts",
    "last_error": "last_error",
}

# What the platform's staff sees.
EVERYTHING: Mapping[str, str] = {**COMMON, **REGIONAL}


class InstanceFilters(django_filters.FilterSet):
    """What instances may be asked for."""

    state = django_filters.MultipleChoiceFilter(choices=State.choices)
    name = django_filters.CharFilter(lookup_expr="startswith")
    region = django_filters.CharFilter(field_name="region__slug")
    workspace = django_filters.CharFilter(field_name="workspace__slug")
    type = django_filters.CharFilter(field_name="type__slug")
    image = django_filters.CharFilter(field_name="image__slug")


class StaffInstanceFilters(InstanceFilters):
    team = django_filters.CharFilter(field_name="team__slug")
    node = django_filters.CharFilter(field_name="node__name")
    health = django_filters.MultipleChoiceFilter(choices=Health.choices)


class InstanceOut(Out):
    """A machine. `desired` is what its owner wants, `state` what is, `health` what the last look showed."""

    columns: ClassVar[Mapping[str, str]] = COMMON

    id = TypedIdField("ins")
    name = serializers.CharField()
    state = serializers.ChoiceField(choices=State.choices)
    desired = serializers.ChoiceField(choices=Desired.choices)
    health = serializers.ChoiceField(choices=Health.choices)
    message = serializers.CharField(help_text="Why it is as it is, when there is something to say.")
    region = serializers.CharField()
    workspace = serializers.CharField()
    type = serializers.CharField()
    image = serializers.CharField()
    vcpus = serializers.IntegerField()
    memory_mib = serializers.IntegerField()
    disk_gib = serializers.IntegerField()
    gpus = serializers.IntegerField()
    gpu_model = serializers.CharField(allow_null=True)
    address = serializers.CharField(help_text="Empty until it has one.")
    ssh_port = serializers.IntegerField()
    user = serializers.CharField(help_text="Who signs in: `ssh -p <ssh_port> <user>@<address>`.")
    host_key = serializers.CharField()
    hourly = MoneyField(help_text="Price of an hour of running.")
    currency = serializers.CharField()
    operation_id = TypedIdField("op", allow_null=True, help_text="The operation that is under way.")
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    deleted_at = serializers.DateTimeField(allow_null=True)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return {name: _read(instance, source) for name, source in self.columns.items()}


class RegionalInstanceOut(InstanceOut):
    """A machine as the staff of its region sees it: where it is and whose, not what it costs."""

    columns = REGIONAL

    hourly: Any = None
    currency: Any = None
    workspace: Any = None
    team = serializers.CharField()
    team_id = TypedIdField("team")
    cluster = serializers.CharField()
    node = serializers.CharField()
    pci_addresses = serializers.ListField(child=serializers.CharField())
    attempts = serializers.IntegerField()
    last_error = serializers.CharField(help_text="The driver's words, for the operator.")


class FullInstanceOut(RegionalInstanceOut):
    """A machine with all there is to know."""

    columns = EVERYTHING

    hourly = MoneyField(help_text="Price of an hour of running.")
    currency = serializers.CharField()
    workspace = serializers.CharField()


def columns_of(shown: type[InstanceOut]) -> list[str]:
    """What a list asks the database for; the key comes along in any case."""
    return list(shown.columns.values())


def item_maker(shown: type[InstanceOut]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Makes a list's items from `values()` rows: a thousand of them must take no time."""
    pairs = tuple(shown.columns.items())

    def make(row: Mapping[str, Any]) -> dict[str, Any]:
        item = {name: row[source] for name, source in pairs}
        if "hourly" in item:
            item["hourly"] = plain(item["hourly"])
        return item

    return make


def _read(instance: Any, path: str) -> Any:
    """The value at a path such as `type__gpu_model__slug`; None where the path ends early."""
    for part in path.split("__"):
        instance = getattr(instance, part, None)
    return plain(instance) if path == "hourly" else instance


def calls_for(shown: type[InstanceOut]) -> Mapping[str, Call]:
    """What everybody may do with the machines they see."""
    return {
        "list": Call(Permission.INSTANCE_READ, shown, summary="List instances"),
        "retrieve": Call(Permission.INSTANCE_READ, shown, summary="Look at an instance"),
        "stop": Call(Permission.INSTANCE_OPERATE, shown, Nothing, 202, "Stop an instance"),
        "start": Call(
            Permission.INSTANCE_OPERATE, shown, Nothing, 202, "Start an instance", own_errors=(402, 503)
        ),
        "reboot": Call(Permission.INSTANCE_OPERATE, shown, Nothing, 202, "Reboot an instance"),
    }


class InstanceActions(ApiViewSet, abstract=True):
    """Machines, in the hands of whoever may see them."""

    id_prefix = "ins"
    filters = StaffInstanceFilters
    columns: ClassVar[Sequence[str]]
    make_item: Any

    def list(self, request: Request) -> Response:
        """All that have not been deleted, newest first."""
        rows = selectors.list_instances(actor=self.actor)
        return self.page(rows, columns=self.columns, as_item=self.make_item)

    def retrieve(self, request: Request, id: str) -> Response:
        """Deleted ones are still there to be looked at."""
        return self.answer(selectors.get_instance(actor=self.actor, instance_id=self.id_of("ins", id)))

    @action(detail=True, methods=["post"])
    def stop(self, request: Request, id: str) -> Response:
        """The system is asked to shut down, then its power is cut. A stopped machine pays for its disk."""
        return self._wished(services.stop_instance, id)

    @action(detail=True, methods=["post"])
    def start(self, request: Request, id: str) -> Response:
        """Where it was; its place was kept."""
        return self._wished(services.start_instance, id)

    @action(detail=True, methods=["post"])
    def reboot(self, request: Request, id: str) -> Response:
        """It keeps its address and is charged throughout."""
        return self._wished(services.reboot_instance, id)

    def _wished(self, wish: Any, id: str) -> Response:
        self.body()
        wish(actor=self.actor, instance_id=self.id_of("ins", id))
        return self.retrieve(self.request, id)
