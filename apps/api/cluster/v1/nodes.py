"""Hosts of the region."""

from typing import ClassVar

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, RegionViewSet
from apps.api.fields import In
from apps.api.nodes import InvitationOut, NodeActions
from apps.core.permissions import Permission
from apps.nodes import services


class NodeIn(In):
    """A host that will report itself."""

    name = serializers.CharField(max_length=63)
    rack = serializers.CharField(max_length=40, required=False, allow_blank=True)


class NodeViewSet(NodeActions, RegionViewSet):
    __doc__ = NodeActions.__doc__
    calls: ClassVar = {
        **NodeActions.calls,
        "create": Call(Permission.NODE_ENROL, InvitationOut, NodeIn, 201, summary="Add a host"),
    }

    def create(self, request: Request) -> Response:
        """Run `command` on the host; the node is in service when its agent has proven what it has."""
        return self._invited(services.add_node(actor=self.actor, region=self.region, **self.body()))
