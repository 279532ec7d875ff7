"""What engines wrote last, for those whose endpoint it is."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from apps.core.ids import IdField
from apps.core.permissions import Permission
from apps.core.tenancy import TenantQuerySet
from apps.inference.models.replicas import Replica


class EngineLogQuerySet(TenantQuerySet):
    read_permission = Permission.ENDPOINT_LOGS
    workspace_path = "replica__endpoint__workspace_id"


class EngineLog(models.Model):
    """The last lines of a replica's engine: as they were when somebody asked, or before it was taken away.

    `asked_at` is set for as long as somebody wants them and no worker has brought them.
    """

    replica = models.OneToOneField(Replica, models.CASCADE, primary_key=True, related_name="log")
    team_id = IdField("team", null=True, editable=False)
    text = models.TextField(_("lines"), blank=True)
    asked_at = models.DateTimeField(null=True, editable=False)
    read_at = models.DateTimeField(_("read"), null=True, editable=False)

    objects = EngineLogQuerySet.as_manager()

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["asked_at"], condition=~Q(asked_at=None), name="inference_log_asked"),
        ]

    def __str__(self) -> str:
        return str(self.replica_id)
