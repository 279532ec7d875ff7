"""Operations and events in the Admin panel."""

from apps.panels import operations


class OperationList(operations.OperationList):
    panel = "admin"


class OperationDetail(operations.OperationDetail):
    panel = "admin"


class EventList(operations.EventList):
    panel = "admin"
