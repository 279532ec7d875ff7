"""What roles are called, and what each may do, in words."""

from typing import Any

from django.utils.translation import gettext_lazy as _

from apps.core.permissions import PLATFORM_ROLES, REGION_ROLES, TEAM_ROLES, Role

NAMES: dict[str, Any] = {
    Role.FULL_ADMINISTRATOR: _("Full administrator"),
    Role.OPERATOR: _("Operator"),
    Role.AUDITOR: _("Auditor"),
    Role.REGION_OPERATOR: _("Region operator"),
    Role.REGION_VIEWER: _("Region viewer"),
    Role.TEAM_ADMIN: _("Admin"),
    Role.TEAM_MEMBER: _("Member"),
    Role.TEAM_BILLING: _("Billing"),
    Role.TEAM_VIEWER: _("Viewer"),
}

LINES: dict[str, Any] = {
    Role.FULL_ADMINISTRATOR: _("Everything, on the whole platform"),
    Role.OPERATOR: _("Runs the platform; no prices, credits or staff"),
    Role.AUDITOR: _("Sees everything, changes nothing"),
    Role.REGION_OPERATOR: _("Runs one region's nodes and machines"),
    Role.REGION_VIEWER: _("Sees one region"),
    Role.TEAM_ADMIN: _("Everything in the team, members and money included"),
    Role.TEAM_MEMBER: _("Works with machines and API keys"),
    Role.TEAM_BILLING: _("Sees usage, pays"),
    Role.TEAM_VIEWER: _("Looks, changes nothing"),
}


def role_of(role: str) -> Any:
    return NAMES.get(role, role)


def _choices(roles: tuple[Role, ...]) -> list[tuple[str, Any]]:
    return [(role.value, _Line(role)) for role in roles]


class _Line:
    """A role's name and what it may do, put together when it is shown, in the reader's language."""

    def __init__(self, role: Role):
        self.role = role

    def __str__(self) -> str:
        return f"{NAMES[self.role]} – {LINES[self.role]}"


TEAM_CHOICES = _choices(TEAM_ROLES)
PLATFORM_CHOICES = _choices(PLATFORM_ROLES)
REGION_CHOICES = _choices(REGION_ROLES)
