"""Token usage as the gateway reported it: one row per request, whatever it cost and however it ended."""

from decimal import Decimal
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.billing.models.ledger import frozen
from apps.billing.models.usage import UsageQuerySet
from apps.core.ids import IdField
from apps.core.money import ZERO, AmountField


class TokenRequest(models.Model):
    """A settled request: a fact. Its id is the caller's, so that a repeat meets itself.

    `version_ids` are the price versions of the four kinds of tokens, in the order input, cached, output,
    embedding; each amount is tokens × price / 1,000,000, rounded once. The ids are loose: tens of
    thousands of rows a second have no time for foreign keys, and the wallet's lock vouches for the team.
    `first_ms` is how many milliseconds passed until the caller of a stream was sent its first byte.
    """

    request_id = models.UUIDField(primary_key=True)
    team_id = IdField("team")
    workspace_id = IdField("wks")
    key_id = IdField("key", null=True)
    endpoint_id = IdField("end", null=True)
    replica_id = IdField("rep", null=True)
    slug = models.CharField(max_length=80)
    digest = models.CharField(max_length=80, blank=True)
    outcome = models.CharField(max_length=20)
    stream = models.BooleanField()
    input = models.PositiveBigIntegerField()
    cached = models.PositiveBigIntegerField()
    output = models.PositiveBigIntegerField()
    embedding = models.PositiveBigIntegerField()
    input_amount = AmountField()
    cached_amount = AmountField()
    output_amount = AmountField()
    embedding_amount = AmountField()
    currency = models.CharField(max_length=3)
    version_ids = ArrayField(models.UUIDField(null=True))
    lease_id = IdField("lse", null=True)
    transaction_id = IdField("ltx")
    started_at = models.DateTimeField()
    first_ms = models.PositiveIntegerField(null=True)
    finished_at = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now())

    objects = UsageQuerySet.as_manager()

    class Meta:
        ordering = ("-finished_at",)
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(
                    input_amount__gte=0, cached_amount__gte=0, output_amount__gte=0, embedding_amount__gte=0
                ),
                name="billing_tokens_not_negative",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["team_id", "finished_at"], name="billing_tokens_team"),
            BrinIndex(fields=["created_at"], name="billing_tokens_time"),
        ]
        triggers: ClassVar = frozen()

    def __str__(self) -> str:
        return f"{self.slug} {self.request_id}"

    @property
    def amount(self) -> Decimal:
        """What the whole request cost."""
        parts = (self.input_amount, self.cached_amount, self.output_amount, self.embedding_amount)
        return sum(parts, ZERO)
