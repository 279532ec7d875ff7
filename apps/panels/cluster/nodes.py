"""Nodes of the region."""

from typing import ClassVar

from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.panels import nodes
from apps.panels.kit import Link


class NodeList(nodes.NodeList):
    panel = "cluster"
    links: ClassVar = (Link(_("Add a node"), "node-new", Permission.NODE_ENROL),)


class NodePage(nodes.NodePage):
    panel = "cluster"
    links: ClassVar = (
        *nodes.NodePage.links,
        Link(_("Token for its agent"), "node-invite", Permission.NODE_ENROL, icon="plug", primary=False),
    )


class NodeNote(nodes.NodeNote):
    panel = "cluster"
