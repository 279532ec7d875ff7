"""The bare address of the cluster panel."""

from apps.core.permissions import Permission
from apps.panels.kit.views import PanelHome


class Home(PanelHome):
    panel = "cluster"
    permission = Permission.REGION_READ
