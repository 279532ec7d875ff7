"""What happens, as it happens."""

from apps.api.base import TeamViewSet
from apps.api.events import EventActions


class EventViewSet(EventActions, TeamViewSet):
    __doc__ = EventActions.__doc__
