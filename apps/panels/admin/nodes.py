"""Nodes and GPUs of all regions."""

from apps.panels import gpus, nodes, stores


class NodeList(nodes.NodeList):
    panel = "admin"
    columns = (nodes.COLUMNS[0], nodes.REGION, *nodes.COLUMNS[1:])


class NodePage(nodes.NodePage):
    panel = "admin"


class NodeNote(nodes.NodeNote):
    panel = "admin"


class GpuList(gpus.GpuList):
    panel = "admin"


class GpuPage(gpus.GpuPage):
    panel = "admin"


class VolumeList(stores.VolumeList):
    panel = "admin"


class NetworkList(stores.NetworkList):
    panel = "admin"
