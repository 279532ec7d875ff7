"""Long-running work in the region."""

from apps.api.base import RegionViewSet
from apps.api.operations import OperationActions


class OperationViewSet(OperationActions, RegionViewSet):
    __doc__ = OperationActions.__doc__
