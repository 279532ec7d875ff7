"""Hosts of the region."""

from apps.api.base import RegionViewSet
from apps.api.nodes import NodeActions


class NodeViewSet(NodeActions, RegionViewSet):
    __doc__ = NodeActions.__doc__
