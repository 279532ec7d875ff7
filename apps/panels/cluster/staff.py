"""Who runs the region; roles are granted by the platform's staff."""

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.panels import staff
from apps.panels.kit import Empty, Resource
from apps.users.models import StaffRole
from apps.users.selectors import staff_of_region


class StaffList(Resource):
    panel = "cluster"
    title = _("Staff")
    intro = _("Who holds a role in this region. The platform's administrators grant and revoke them.")
    permission = Permission.REGION_READ
    model = StaffRole
    order = "email"
    search = ("user__email", "user__name")
    search_hint = _("Search by address or name")
    columns = (staff.PERSON, staff.ROLE, staff.GRANTED_BY, staff.SINCE)
    empty = Empty(_("Nobody holds a role here"), _("The platform's own staff looks after it."), icon="shield")

    def rows(self) -> QuerySet[Any]:
        assert self.place.region is not None
        return staff_of_region(self.actor, self.place.region.pk)
