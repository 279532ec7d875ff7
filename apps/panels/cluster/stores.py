"""Disks, datastores and networks of the region."""

from apps.panels import stores


class VolumeList(stores.VolumeList):
    panel = "cluster"


class DatastoreList(stores.DatastoreList):
    panel = "cluster"


class NetworkList(stores.NetworkList):
    panel = "cluster"
