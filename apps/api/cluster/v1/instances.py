"""Machines in the region."""

from apps.api.base import RegionViewSet
from apps.api.instances import InstanceActions, RegionalInstanceOut, calls_for, columns_of, item_maker


class InstanceViewSet(InstanceActions, RegionViewSet):
    """Machines in the region. What takes long answers 202; follow its `operation_id`."""

    columns = columns_of(RegionalInstanceOut)
    make_item = staticmethod(item_maker(RegionalInstanceOut))
    calls = calls_for(RegionalInstanceOut)
