"""Operations as all three APIs show them."""

from typing import Any

import django_filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import ApiViewSet, Call
from apps.api.fields import Nothing, Out, RowOut
from apps.core.permissions import Permission
from apps.operations import selectors, services
from apps.operations.models import Operation, OperationStep
from apps.operations.states import Plane, State


class OperationFilters(django_filters.FilterSet):
    """What operations may be asked for."""

    state = django_filters.MultipleChoiceFilter(choices=State.choices)
    kind = django_filters.CharFilter()
    target = django_filters.CharFilter(field_name="target_id")


class StepOut(RowOut):
    """One line of the timeline; `plane` says where it ran."""

    plane = serializers.ChoiceField(choices=Plane.choices)

    class Meta:
        model = OperationStep
        fields = ("position", "name", "plane", "state", "detail", "started_at", "finished_at")


class OperationErrorOut(Out):
    """Why it failed, and what was undone."""

    code = serializers.CharField(source="error_code")
    message = serializers.CharField(source="error_message")
    undone = serializers.CharField()


class OperationOut(RowOut):
    """Work that outlives the request that asked for it; `progress` is in percent."""

    error = serializers.SerializerMethodField()

    class Meta:
        model = Operation
        fields: tuple[str, ...] = (
            "id",
            "kind",
            "target_type",
            "target_id",
            "target_name",
            "state",
            "progress",
            "is_cancellable",
            "actor_label",
            "error",
            "deadline_at",
            "created_at",
            "finished_at",
        )

    @extend_schema_field(OperationErrorOut(allow_null=True))
    def get_error(self, operation: Operation) -> Any:
        return OperationErrorOut(operation).data if operation.error_code else None


class OperationDetailOut(OperationOut):
    """One operation with its timeline."""

    steps = StepOut(many=True, read_only=True)

    class Meta(OperationOut.Meta):
        fields = (*OperationOut.Meta.fields, "steps")


class OperationActions(ApiViewSet, abstract=True):
    """Every change that takes longer than a request, with its timeline."""

    id_prefix = "op"
    filters = OperationFilters
    calls = {
        "list": Call(Permission.OPERATION_READ, OperationOut, summary="List operations"),
        "retrieve": Call(Permission.OPERATION_READ, OperationDetailOut, summary="Look at an operation"),
        "cancel": Call(
            Permission.OPERATION_CANCEL, OperationDetailOut, Nothing, 202, summary="Call an operation off"
        ),
    }

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(selectors.list_operations(actor=self.actor))

    def retrieve(self, request: Request, id: str) -> Response:
        """With its steps, and where each ran."""
        return self.answer(selectors.get_operation(actor=self.actor, operation_id=self.id_of("op", id)))

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, id: str) -> Response:
        """What was done is undone by whoever opened it."""
        self.body()
        operation_id = self.id_of("op", id)
        services.cancel_operation(actor=self.actor, operation_id=operation_id)
        return self.answer(selectors.get_operation(actor=self.actor, operation_id=operation_id))
