"""Customers' machines in the Cluster panel."""

from apps.panels import instances
from apps.panels.staff_instance import StaffInstance


class InstanceList(instances.InstanceList):
    panel = "cluster"
    columns = (
        instances.NAME,
        instances.STATE,
        instances.TEAM,
        instances.GPUS,
        instances.TYPE,
        instances.NODE,
        instances.HOURLY,
        instances.AGE,
    )
    filters = (instances.STATE_FILTER, instances.TYPE_FILTER)


class InstancePage(StaffInstance):
    panel = "cluster"
