"""Hosts of all regions."""

from apps.api.base import PlatformViewSet
from apps.api.nodes import NodeActions


class NodeViewSet(NodeActions, PlatformViewSet):
    __doc__ = NodeActions.__doc__
