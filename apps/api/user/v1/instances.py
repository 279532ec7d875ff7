"""The team's machines."""

from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, TeamViewSet
from apps.api.instances import InstanceFilters, InstanceOut, columns_of, item_maker
from apps.core.permissions import Permission
from apps.instances import selectors

COLUMNS = columns_of(InstanceOut)
make_item = item_maker(InstanceOut)


class InstanceViewSet(TeamViewSet):
    """Machines of the team. What takes long answers 202; follow its `operation_id`."""

    id_prefix = "ins"
    filters = InstanceFilters
    calls = {
        "list": Call(Permission.INSTANCE_READ, InstanceOut, summary="List instances"),
        "retrieve": Call(Permission.INSTANCE_READ, InstanceOut, summary="Look at an instance"),
    }

    def list(self, request: Request) -> Response:
        """All that have not been deleted, newest first."""
        rows = selectors.list_instances(actor=self.actor).values(*COLUMNS)
        return self.page(rows, as_item=make_item)

    def retrieve(self, request: Request, id: str) -> Response:
        """Deleted ones are still there to be looked at."""
        return self.answer(selectors.get_instance(actor=self.actor, instance_id=self.id_of("ins", id)))
