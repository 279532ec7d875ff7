"""Machines everywhere."""

from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, PlatformViewSet
from apps.api.instances import FullInstanceOut, InstanceActions, calls_for, columns_of, item_maker
from apps.core.permissions import Permission
from apps.instances import services


class InstanceViewSet(InstanceActions, PlatformViewSet):
    """Machines everywhere. What takes long answers 202; follow its `operation_id`."""

    columns = columns_of(FullInstanceOut)
    make_item = staticmethod(item_maker(FullInstanceOut))
    calls = {
        **calls_for(FullInstanceOut),
        "destroy": Call(Permission.INSTANCE_DELETE, FullInstanceOut, None, 202, "Delete an instance"),
    }

    def destroy(self, request: Request, id: str) -> Response:
        """For good, whatever it is doing. It counts as gone once that is proven."""
        services.delete_instance(actor=self.actor, instance_id=self.id_of("ins", id))
        return self.retrieve(request, id)
