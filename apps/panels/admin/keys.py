"""A staff member's own keys for the Admin and Cluster APIs."""

from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.panels import keys


class StaffKeyList(keys.KeyList):
    panel = "admin"
    permission = Permission.STAFF_READ
    intro = _("Your own keys for the Admin and Cluster APIs. Nobody else sees them.")


class StaffKeyNew(keys.KeyNew):
    panel = "admin"
    permission = Permission.STAFF_READ


class StaffKeyRotate(keys.KeyRotate):
    panel = "admin"
    nav = "api-keys"
    permission = Permission.STAFF_READ
