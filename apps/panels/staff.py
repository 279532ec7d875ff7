"""Columns of lists of staff roles, in the Admin and the Cluster panel."""

from django.utils.translation import gettext_lazy as _

from apps.panels.kit import Column, cells, moment
from apps.panels.roles import role_of

PERSON = Column(
    "email",
    _("Person"),
    lambda one: cells.two_lines(one.user.label, one.user.email),
    sort="user__email",
    main=True,
    text=lambda one: one.user.email,
)
ROLE = Column("role", _("Role"), lambda one: role_of(one.role), sort="role", text=lambda one: one.role)
WHERE = Column(
    "where",
    _("Where"),
    lambda one: one.region_slug or _("The platform"),
    sort="region_slug",
    text=lambda one: one.region_slug,
)
GRANTED_BY = Column(
    "by", _("Granted by"), lambda one: one.granted_by, priority=3, text=lambda one: one.granted_by
)
SINCE = moment("since", _("Since"), "created_at", num=True, priority=2)
