"""What was done in the region."""

from apps.api.base import RegionViewSet
from apps.api.people import AuditActions


class AuditViewSet(AuditActions, RegionViewSet):
    __doc__ = AuditActions.__doc__
