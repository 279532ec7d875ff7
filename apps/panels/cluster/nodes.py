"""Nodes of the region."""

from apps.panels import nodes


class NodeList(nodes.NodeList):
    panel = "cluster"


class NodePage(nodes.NodePage):
    panel = "cluster"


class NodeNote(nodes.NodeNote):
    panel = "cluster"
