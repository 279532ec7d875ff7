"""Limits of the gateway as more than one API shows them."""

from typing import Any

import django_filters
from rest_framework import serializers

from apps.api.fields import In, Out, RowOut
from apps.inference.models import RateLimit
from apps.inference.specs import Limits
from apps.inference.states import LimitLevel


class RateLimitFilters(django_filters.FilterSet):
    """Which limits to list."""

    level = django_filters.ChoiceFilter(choices=LimitLevel.choices)
    subject = django_filters.CharFilter(field_name="subject_id")


class RateLimitOut(RowOut):
    """Numbers that were set. Without a subject they hold for every subject of the level that has none."""

    class Meta:
        model = RateLimit
        fields = (
            *("id", "level", "subject_id", "requests_per_minute", "tokens_per_day", "updated_by_label"),
            "updated_at",
        )


class RateLimitIn(In):
    """Null takes what holds on the level."""

    requests_per_minute = serializers.IntegerField(required=False, allow_null=True, min_value=0)
    tokens_per_day = serializers.IntegerField(required=False, allow_null=True, min_value=0)


class WorkerOut(Out):
    """A worker of the gateway. `replicas` are its circuit breakers: `closed`, `open` or `half open`. What it
    knows of keys, endpoints and prices is `snapshot_seconds` old; `unsettled` requests are over and not
    in the books yet."""

    name = serializers.CharField()
    state = serializers.ChoiceField(choices=["ready", "degraded", "silent"])
    host = serializers.CharField()
    pid = serializers.IntegerField()
    port = serializers.IntegerField()
    age_seconds = serializers.FloatField()
    requests = serializers.IntegerField()
    refusals = serializers.IntegerField()
    snapshot_seconds = serializers.FloatField()
    has_database = serializers.BooleanField()
    unsettled = serializers.IntegerField()
    gauges = serializers.DictField(child=serializers.FloatField())
    replicas = serializers.DictField(child=serializers.CharField())


def limits_of(body: dict[str, Any]) -> Limits:
    return Limits(body.get("requests_per_minute"), body.get("tokens_per_day"))
