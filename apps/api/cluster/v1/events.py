"""What happens, as it happens."""

from apps.api.base import RegionViewSet
from apps.api.events import EventActions


class EventViewSet(EventActions, RegionViewSet):
    __doc__ = EventActions.__doc__
