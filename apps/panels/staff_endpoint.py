"""The page of one endpoint as staff sees it: where its replicas are and what happened."""

from typing import Any, ClassVar

from django.db.models import Count, Q, QuerySet
from django.http import HttpResponse
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.inference.models import Endpoint
from apps.inference.selectors import reading
from apps.inference.states import ReplicaState
from apps.operations.models import Event
from apps.panels import endpoints, operations, words
from apps.panels.kit import Detail, Empty, Events, Facts, Happened, Note, Tab, Table, actions, cells

EVENTS_SHOWN = 60
COLUMNS = (
    endpoints.REPLICA_ID,
    endpoints.REPLICA_STATE,
    endpoints.REPLICA_WHAT,
    endpoints.REPLICA_WHERE,
    endpoints.REPLICA_MESSAGE,
    endpoints.REPLICA_SINCE,
)


class StaffEndpoint(Detail):
    permission = endpoints.READ
    model = Endpoint
    live = "endpoint. replica. operation."
    tabs: ClassVar = (Tab("overview", _("Overview")),)
    actions = (endpoints.DELETE,)

    def refine(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        ready = Q(replicas__state=ReplicaState.READY)
        named = rows.select_related("region", "revision__hardware")
        return named.annotate(ready_count=Count("replicas", filter=ready))

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Endpoints")), self.url("endpoints"))]

    def heading(self) -> Any:
        return self.object.slug

    def home(self) -> str:
        return self.url("endpoint", pk=self.pk)

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        name = str(request.POST.get("do", "")).partition(":")[0]
        return actions.perform(self, [endpoints.REPLACE] if name == "replace" else self.actions)

    def targets(self, ids: Any) -> list[Any]:
        name = str(self.request.POST.get("do", "")).partition(":")[0]
        if name != "replace":
            return super().targets(ids)
        rows = reading.list_replicas(actor=self.actor, endpoint_id=str(self.object.pk))
        return [one for one in rows if one.pk in ids]

    def status(self) -> Any:
        return endpoints.state_of(self.object)

    def meta(self) -> list[Any]:
        one = self.object
        whose = one.team_name or _now("Provider")
        return [whose, one.model_name, cells.mono(one.region.slug), endpoints.count_of(one)]

    def top(self) -> list[Any]:
        return [Note(self.object.message, "warn")] if self.object.message else []

    def main_overview(self) -> list[Any]:
        rows = list(reading.list_replicas(actor=self.actor, endpoint_id=str(self.object.pk))[:100])
        events = Event.objects.visible_to(self.actor).filter(subject=self.object.pk).order_by("-seq")
        lines = [
            Happened(words.event(one.type), one.at, operations.reason_of(one.data), "")
            for one in events[:EVENTS_SHOWN]
        ]
        return [
            Table(
                _("Replicas"),
                COLUMNS,
                rows,
                Empty(_("No replica now"), "", icon="cpu"),
                buttons=lambda one: actions.buttons(self, [endpoints.REPLACE], one),
            ),
            Events(_("What happened"), lines),
        ]

    def aside_overview(self) -> list[Any]:
        one = self.object
        last = one.last_error or None
        return [
            Facts(
                _("Details"),
                [
                    (_("Charged"), one.get_metering_display()),
                    (_("Price"), endpoints.price_of(one)),
                    (_("Replicas"), _now("%(a)s to %(b)s") % {"a": one.min_replicas, "b": one.max_replicas}),
                    (_("Wanted now"), one.wanted),
                    (_("Hardware"), one.revision.hardware.name if one.revision else None),
                    (_("Failed launches in a row"), one.failures or None),
                    (_("Last problem"), last),
                    (_("Made by"), one.created_by_label),
                    (_("Created"), cells.exact(one.created_at)),
                    (_("Id"), cells.mono(one.pk)),
                ],
            )
        ]
