"""Long-running work of the team."""

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, TeamViewSet
from apps.api.fields import Nothing
from apps.api.operations import OperationDetailOut, OperationFilters, OperationOut
from apps.core.permissions import Permission
from apps.operations import selectors, services


class OperationViewSet(TeamViewSet):
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
        services.cancel_operation(actor=self.actor, operation_id=self.id_of("op", id))
        return self.answer(selectors.get_operation(actor=self.actor, operation_id=self.id_of("op", id)))
