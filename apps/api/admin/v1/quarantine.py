"""Usage events of programs, and what was set aside of them."""

from typing import Any

import django_filters
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, PlatformViewSet
from apps.api.fields import In, Out, RowOut, TypedIdField
from apps.billing.models import Quarantined
from apps.billing.selectors import quarantine
from apps.billing.services import decisions, events
from apps.billing.states import QuarantineReason, QuarantineState
from apps.core.permissions import Permission


class EventsIn(In):
    """Up to 1,000 events in the manner of CloudEvents.

    Each has `id` and `source` (together its key, for good), `type` (the meter), `time` (at most 35 days
    ago, five minutes ahead), `team`, and `data` with `quantity` (a decimal number in quotes, or a whole
    number) and whatever the meter asks for; besides, if wanted, `subject` (the resource), `workspace`, and
    `supersedes` (the `id` of an event of the same source that this one corrects).
    """

    events = serializers.ListField(
        child=serializers.JSONField(), max_length=events.MOST_EVENTS, allow_empty=False
    )

    def to_internal_value(self, data: Any) -> Any:
        """As it is: each event is judged by itself, and one that cannot be read refuses no other."""
        found = data.get("events") if isinstance(data, dict) else None
        if isinstance(found, list) and 0 < len(found) <= events.MOST_EVENTS and set(data) == {"events"}:
            return {"events": found}
        return super().to_internal_value(data)


class ResultOut(Out):
    """What became of an event: `accepted`, `duplicate`, `conflict` or `rejected` with a `reason`."""

    status = serializers.CharField()
    id = TypedIdField("uev", allow_null=True)
    reason = serializers.CharField()
    detail = serializers.CharField()


class ResultsOut(Out):
    """A result per event, in their order."""

    results = ResultOut(many=True)
    accepted = serializers.IntegerField()

    def to_representation(self, instance: Any) -> Any:
        """Written out by hand: there may be a thousand of them."""
        results = [
            {"status": str(one.status), "id": one.id, "reason": one.reason, "detail": one.detail}
            for one in instance
        ]
        return {"results": results, "accepted": sum(one["status"] == "accepted" for one in results)}


class UsageEventViewSet(PlatformViewSet):
    """Usage as programs report it: RAG, builds, egress, partners."""

    calls = {"create": Call(Permission.USAGE_INGEST, ResultsOut, EventsIn, summary="Report usage events")}

    def create(self, request: Request) -> Response:
        """Repeat it as a whole when in doubt: what is known already is a duplicate and changes nothing."""
        return self.answer(events.ingest(actor=self.actor, events=self.body()["events"]))


class QuarantineFilters(django_filters.FilterSet):
    """What reports may be asked for."""

    state = django_filters.ChoiceFilter(choices=QuarantineState.choices)
    reason = django_filters.ChoiceFilter(choices=QuarantineReason.choices)
    source = django_filters.CharFilter()


class QuarantinedOut(RowOut):
    """A report of usage that was set aside, as it came."""

    class Meta:
        model = Quarantined
        fields = (
            "id", "source", "event_id", "team_id", "meter", "reason", "detail", "payload", "state", "note",
            "resolved_by", "resolved_at", "received_at",
        )  # fmt: skip


class ReleaseIn(In):
    note = serializers.CharField(max_length=300, required=False, allow_blank=True)


class DiscardIn(In):
    note = serializers.CharField(max_length=300, help_text="Why it is never charged.")


class QuarantineViewSet(PlatformViewSet):
    """Reports of usage that could not be believed, until somebody decides."""

    id_prefix = "qua"
    filters = QuarantineFilters
    calls = {
        "list": Call(Permission.BILLING_READ, QuarantinedOut, summary="List quarantined usage"),
        "retrieve": Call(Permission.BILLING_READ, QuarantinedOut, summary="Look at quarantined usage"),
        "release": Call(Permission.BILLING_MANAGE, QuarantinedOut, ReleaseIn, summary="Charge it after all"),
        "discard": Call(Permission.BILLING_MANAGE, QuarantinedOut, DiscardIn, summary="Never charge it"),
    }

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(quarantine.reports(self.actor))

    def retrieve(self, request: Request, id: str) -> Response:
        """One report."""
        return self.answer(self._report(id))

    @action(detail=True, methods=["post"])
    def release(self, request: Request, id: str) -> Response:
        """What had no price is rated anew; other content under a known id becomes a correction."""
        given = self.body()
        return self.answer(decisions.release(actor=self.actor, quarantined=self._report(id), **given))

    @action(detail=True, methods=["post"])
    def discard(self, request: Request, id: str) -> Response:
        """It stays here with the reason, and nobody pays for it."""
        given = self.body()
        return self.answer(decisions.discard(actor=self.actor, quarantined=self._report(id), **given))

    def _report(self, id: str) -> Quarantined:
        return quarantine.find_report(self.actor, self.id_of("qua", id))
