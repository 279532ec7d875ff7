"""Disks, datastores and networks of the region."""

from typing import Any

from apps.panels import stores


def _here(columns: Any) -> tuple[Any, ...]:
    """The columns without the region, which is this one."""
    return tuple(one for one in columns if one is not stores.REGION)


class VolumeList(stores.VolumeList):
    panel = "cluster"
    columns = _here(stores.VolumeList.columns)


class DatastoreList(stores.DatastoreList):
    panel = "cluster"
    columns = _here(stores.DatastoreList.columns)


class NetworkList(stores.NetworkList):
    panel = "cluster"
    columns = _here(stores.NetworkList.columns)
