"""The bare address of the admin panel."""

from apps.core.permissions import Permission
from apps.panels.kit.views import PanelHome


class Home(PanelHome):
    panel = "admin"
    permission = Permission.REGION_READ
