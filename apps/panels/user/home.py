"""The bare address of the console panel."""

from apps.core.permissions import Permission
from apps.panels.kit.views import PanelHome


class Home(PanelHome):
    panel = "console"
    permission = Permission.WORKSPACE_READ
