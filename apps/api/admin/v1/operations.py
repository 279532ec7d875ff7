"""Long-running work everywhere."""

from apps.api.base import PlatformViewSet
from apps.api.operations import OperationActions


class OperationViewSet(OperationActions, PlatformViewSet):
    __doc__ = OperationActions.__doc__
