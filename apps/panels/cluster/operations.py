"""Operations and events in the Cluster panel."""

from apps.panels import operations


class OperationList(operations.OperationList):
    panel = "cluster"


class OperationDetail(operations.OperationDetail):
    panel = "cluster"


class EventList(operations.EventList):
    panel = "cluster"
