"""Long-running work of the team."""

from apps.api.base import TeamViewSet
from apps.api.operations import OperationActions


class OperationViewSet(OperationActions, TeamViewSet):
    __doc__ = OperationActions.__doc__
