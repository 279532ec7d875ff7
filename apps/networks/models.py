"""Networks at the level the drivers need: where a cluster's machines get their address."""

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.core.ids import IdField
from apps.core.permissions import Permission
from apps.core.tenancy import TenantQuerySet
from apps.regions.models import Cluster, Region


class NetworkQuerySet(TenantQuerySet):
    read_permission = Permission.NETWORK_READ
    team_path = None
    region_path = "region_id"


class Network(models.Model):
    """A network of a cluster, shared by its tenants; the guests are kept apart by the hypervisor."""

    id = IdField("net", primary_key=True)
    region = models.ForeignKey(Region, models.PROTECT, related_name="+")
    cluster = models.ForeignKey(Cluster, models.PROTECT, related_name="+")
    name = models.CharField(_("name"), max_length=80)
    kind = models.CharField(_("kind"), max_length=20, default="nat")
    cidr = models.CharField(_("addresses"), max_length=43, blank=True)
    description = models.CharField(_("description"), max_length=300, blank=True)
    created_at = models.DateTimeField(_("created"), db_default=Now())

    objects = NetworkQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        constraints: ClassVar = [models.UniqueConstraint(fields=["cluster", "name"], name="networks_name")]

    def __str__(self) -> str:
        return self.name
