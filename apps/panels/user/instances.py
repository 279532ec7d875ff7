"""The machines of a workspace."""

from typing import Any

from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.panels import instances
from apps.panels.kit import Empty, Link, SavedView

LAUNCH = Link(_("Launch instance"), "launch", Permission.INSTANCE_CREATE)


def _mine(view: Any) -> Q:
    return Q(created_by_id=view.actor.user_id)


class InstanceList(instances.InstanceList):
    panel = "console"
    columns = (
        instances.NAME,
        instances.STATE,
        instances.GPUS,
        instances.TYPE,
        instances.REGION,
        instances.IMAGE,
        instances.ADDRESS,
        instances.HOURLY,
        instances.AGE,
    )
    filters = (instances.STATE_FILTER, instances.REGION_FILTER, instances.TYPE_FILTER)
    views = (*instances.InstanceList.views, SavedView("mine", _("Mine"), _mine))
    search = ("name", "address")
    search_hint = _("Search by name or address")
    links = (LAUNCH,)
    empty = Empty(
        _("No machine yet"),
        _("Launch one: choose a type and a region, see the price first, log in a minute later."),
        LAUNCH,
        icon="server",
    )
