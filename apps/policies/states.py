"""Words of the policies."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Level(TextChoices):
    """Where a limit holds; a lower level never allows more than a higher one."""

    GLOBAL = "global", _("Everywhere")
    REGION = "region", _("Region")
    GROUP = "group", _("Resource group")


class Access(TextChoices):
    NONE = "none", _("No access")
    RESTRICTED = "restricted", _("Restricted")
    UNLIMITED = "unlimited", _("Unlimited")


class Kind(TextChoices):
    RESOURCE = "resource", _("Resource policy")
    PRICING = "pricing", _("Pricing policy")
    SERVICE = "service", _("Service policy")
    INSTANCE_TYPE = "instance_type", _("Instance type policy")
    IMAGE = "image", _("Image policy")
