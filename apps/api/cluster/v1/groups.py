"""Resource groups of the region."""

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, RegionViewSet
from apps.api.fields import In, RowOut, TypedIdField
from apps.core.permissions import Permission
from apps.nodes import selectors, services
from apps.nodes.models import ResourceGroup


class GroupIn(In):
    """A new, empty group."""

    slug = serializers.CharField(max_length=40)
    name = serializers.CharField(max_length=80)
    description = serializers.CharField(max_length=300, required=False, allow_blank=True)


class NodesIn(In):
    """All the nodes that shall be in the group."""

    nodes = serializers.ListField(child=TypedIdField("node"), allow_empty=True, max_length=5000)


class GroupOut(RowOut):
    """A named subset of the region's nodes."""

    nodes = serializers.SerializerMethodField()

    class Meta:
        model = ResourceGroup
        fields = ("id", "slug", "name", "description", "nodes", "created_at")

    def get_nodes(self, group: ResourceGroup) -> list[str]:
        return sorted(str(node.pk) for node in group.nodes.all())


class GroupViewSet(RegionViewSet):
    """Named subsets of the region's nodes, for quotas and placement."""

    id_prefix = "grp"
    calls = {
        "list": Call(Permission.GROUP_READ, GroupOut, summary="List resource groups"),
        "create": Call(Permission.GROUP_MANAGE, GroupOut, GroupIn, 201, summary="Make a resource group"),
        "retrieve": Call(Permission.GROUP_READ, GroupOut, summary="Look at a resource group"),
        "destroy": Call(Permission.GROUP_MANAGE, status=204, summary="Forget a resource group"),
        "nodes": Call(Permission.GROUP_MANAGE, GroupOut, NodesIn, summary="Say which nodes are in it"),
    }

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(selectors.list_groups(actor=self.actor))

    def create(self, request: Request) -> Response:
        """It is empty at first."""
        return self.answer(services.create_group(actor=self.actor, region=self.region, **self.body()))

    def retrieve(self, request: Request, id: str) -> Response:
        """With its nodes."""
        return self.answer(self._group(id))

    def destroy(self, request: Request, id: str) -> Response:
        """Nodes and machines stay as they are."""
        services.delete_group(actor=self.actor, group=self._group(id))
        return Response(status=204)

    @action(detail=True, methods=["post"])
    def nodes(self, request: Request, id: str) -> Response:
        """What runs is not moved."""
        body = self.body()
        group = self._group(id)
        services.set_group_nodes(actor=self.actor, group=group, node_ids=body["nodes"])
        return self.answer(self._group(id))

    def _group(self, id: str) -> ResourceGroup:
        return selectors.find_group(actor=self.actor, group_id=self.id_of("grp", id))
