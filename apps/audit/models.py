"""What was done, by whom, to what; written once and sealed in chained blocks."""

from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.core.ids import IdField
from apps.core.permissions import Permission
from apps.core.tenancy import TenantQuerySet


class Block(models.Model):
    """A run of records and the hash that binds them to all blocks before."""

    number = models.PositiveBigIntegerField(primary_key=True)
    day = models.DateField()
    records = models.PositiveIntegerField()
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64, unique=True)
    sealed_at = models.DateTimeField(db_default=Now())

    class Meta:
        triggers: ClassVar = [
            pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete)
        ]

    def __str__(self) -> str:
        return f"{self.number}"


class RecordQuerySet(TenantQuerySet):
    read_permission = Permission.AUDIT_READ
    region_path = "region_id"


class Record(models.Model):
    """One thing done. Stands below users and teams, so it names them by id and by label."""

    id = IdField("aud", primary_key=True)
    at = models.DateTimeField(_("at"), db_default=Now())
    action = models.CharField(_("action"), max_length=80)
    actor_kind = models.CharField(max_length=20)
    actor_label = models.CharField(_("who"), max_length=200)
    user_id = IdField("usr", null=True)
    key_id = IdField("key", null=True)
    ip = models.GenericIPAddressField(null=True)
    request_id = models.CharField(max_length=80, blank=True)
    target_type = models.CharField(max_length=40)
    target_id = models.CharField(max_length=64)
    target_label = models.CharField(_("object"), max_length=200, blank=True)
    team_id = IdField("team", null=True)
    workspace_id = IdField("wks", null=True)
    region_id = IdField("reg", null=True)
    data = models.JSONField(default=dict)
    block = models.ForeignKey(Block, models.PROTECT, null=True, related_name="+")

    objects = RecordQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        indexes: ClassVar = [
            models.Index(fields=["team_id", "-id"], name="audit_team"),
            models.Index(fields=["region_id", "-id"], name="audit_region"),
            models.Index(fields=["user_id", "-id"], name="audit_user"),
            models.Index(fields=["target_id", "-id"], name="audit_target"),
            models.Index(fields=["id"], name="audit_unsealed", condition=Q(block=None)),
        ]
        triggers: ClassVar = [
            pgtrigger.Protect(name="no_delete", operation=pgtrigger.Delete),
            # The one change a record ever sees is its sealing: block goes from nothing to a number, once.
            pgtrigger.Trigger(
                name="append_only",
                when=pgtrigger.Before,
                operation=pgtrigger.Update,
                declare=[("was", "jsonb"), ("is_now", "jsonb")],
                func="""
                    was := to_jsonb(OLD) - 'block_id';
                    is_now := to_jsonb(NEW) - 'block_id';
                    IF OLD.block_id IS NOT NULL OR NEW.block_id IS NULL OR was <> is_now THEN
                        RAISE EXCEPTION 'audit records are never changed';
                    END IF;
                    RETURN NEW;
                """,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.actor_label} {self.action} {self.target_label}"
