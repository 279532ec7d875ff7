"""What happens, as it happens."""

from apps.api.base import PlatformViewSet
from apps.api.events import EventActions


class EventViewSet(EventActions, PlatformViewSet):
    __doc__ = EventActions.__doc__
