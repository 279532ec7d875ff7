"""Customers' machines in the Admin panel."""

from apps.panels import instances
from apps.panels.staff_instance import StaffInstance


class InstanceList(instances.InstanceList):
    panel = "admin"
    columns = (
        instances.NAME,
        instances.STATE,
        instances.TEAM,
        instances.GPUS,
        instances.TYPE,
        instances.REGION,
        instances.HOURLY,
        instances.AGE,
    )
    filters = (instances.STATE_FILTER, instances.REGION_FILTER, instances.TYPE_FILTER)


class InstancePage(StaffInstance):
    panel = "admin"
